// What an agent says, as a page may show it. Nothing in it can run, load or leave the page:
// markdown without HTML and pictures, then only these elements and attributes.

import DOMPurify from "dompurify";
import MarkdownIt from "markdown-it";
import { legible } from "./element";
import { scrolls } from "./scrolling";

const markdown = new MarkdownIt({ html: false, linkify: false, typographer: false, breaks: true }).disable("image");

const TAGS = [
  ...["p", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "ul", "ol", "li", "pre", "code"],
  ...["strong", "em", "s", "a", "table", "thead", "tbody", "tr", "th", "td"],
];
const KEPT = { ALLOWED_TAGS: TAGS, ALLOWED_ATTR: ["href", "start"], ALLOWED_URI_REGEXP: /^(?:https?|mailto):/i };

/** Markdown as elements. Each line stays a line, as in a cell. */
export function marked(text: string): DocumentFragment {
  const made = DOMPurify.sanitize(markdown.render(legible(text)), { ...KEPT, RETURN_DOM_FRAGMENT: true });
  for (const link of made.querySelectorAll("a")) {
    link.target = "_blank";
    link.rel = "noopener noreferrer nofollow";
    link.title = link.href; // where it leads is seen before it is followed
  }
  for (const title of made.querySelectorAll("h1, h2, h3, h4, h5, h6")) heading(title);
  for (const table of made.querySelectorAll("table")) {
    const room = document.createElement("div");
    room.className = "mx-wide";
    table.replaceWith(room);
    room.append(table);
    scrolls(room);
  }
  made.querySelectorAll("pre").forEach(scrolls);
  return made;
}

/** The page has headings of its own; an agent's are text in bold. */
function heading(title: Element): void {
  const line = document.createElement("p");
  line.className = "mx-h";
  line.append(...title.childNodes);
  title.replaceWith(line);
}
