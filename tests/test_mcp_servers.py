"""The shape of MCP servers, and where their secrets are. Pure."""

import json

import pytest

from madrox_nb.errors import BadInput
from madrox_nb.harness import McpServer, claude_shape
from madrox_nb.mcp_servers import expanded, kept, recalled, secrets, servers

WEB = {"command": "npx", "args": ["-y", "@playwright/mcp"], "env": {"MODE": "fast"}}


def test_a_program_and_an_address_are_told_apart():
    found = servers({"web": WEB, "far": {"url": "https://mcp.example/x"}})

    assert ("stdio", "npx", ("-y", "@playwright/mcp")) == (
        found["web"].transport,
        found["web"].command,
        found["web"].args,
    )
    assert ("http", "https://mcp.example/x") == (found["far"].transport, found["far"].url)


@pytest.mark.parametrize(
    ("key", "said", "transport"),
    [
        ("type", "http", "http"),
        ("type", "streamable-http", "http"),
        ("transport", "streamableHttp", "http"),
        ("type", "sse", "sse"),
    ],
)
def test_every_spelling_of_a_transport_is_known(key, said, transport):
    assert transport == servers({"far": {key: said, "url": "http://127.0.0.1:1/"}})["far"].transport


def test_a_whole_file_is_meant_as_what_is_in_it():
    assert ["web"] == list(servers({"mcpServers": {"web": WEB}}))


def test_a_bearer_token_is_a_header():
    found = servers({"far": {"url": "https://x.example/", "bearer_token": "${TOKEN}"}})["far"]

    assert {"Authorization": "Bearer ${TOKEN}"} == found.headers


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"a b": WEB}, "'a b' can't be a server's name"),
        ({"x; rm -rf /": WEB}, "can't be a server's name"),
        ({"--x": WEB}, "can't be a server's name"),
        ({"madrox": WEB}, "could be taken for another server's tools"),
        ({"mcp_madrox_x": WEB}, "could be taken for another server's tools"),
        ({"web__evil": WEB}, "could be taken for another server's tools"),
        ({"web": "npx"}, "mcp_servers: web: a table such as"),
        ({"web": {"commnd": "npx"}}, "has a key 'commnd'. Did you mean 'command'?"),
        ({"web": {}}, "web: command is a text"),
        ({"web": {"command": "a\nb"}}, "web: command holds a line break"),
        ({"web": {"command": "a", "args": "b"}}, "web: args is a list of texts"),
        ({"web": {"command": "a", "args": [{}]}}, "web: args is a text"),
        ({"web": {"command": "a", "env": {"A-B": "x"}}}, "'A-B' can't be a variable's name"),
        ({"web": {"command": "a", "url": "http://x"}}, "is reached at a url, so command means nothing"),
        ({"web": {"type": "stdio", "url": "http://x"}}, "is started by a command, so url means nothing"),
        ({"web": {"type": "htp", "url": "http://x"}}, "type 'htp' is none. Did you mean 'http'?"),
        ({"web": {"url": "file:///etc/passwd"}}, "begins with http:// or https://"),
        ({"web": {"url": "http://["}}, "begins with http:// or https://, and names a host"),
        ({"web": {"url": "http://x", "headers": {"A: b": "c"}}}, "'A: b' can't be a header's name"),
        ({"web": {"url": "http://x", "headers": {"A": "b\r\nC: d"}}}, "header A holds a line break"),
    ],
)
def test_what_is_wrong_is_named(given, said):
    with pytest.raises(BadInput) as refused:
        servers(given)

    assert said in str(refused.value)


def test_references_are_followed_in_every_text():
    given = servers(
        {
            "box": {"command": "${BIN}", "args": ["${ARG:-x}"], "env": {"K": "${SECRET}"}},
            "far": {"url": "https://${HOST}/", "headers": {"Authorization": "Bearer ${SECRET}"}},
        }
    )
    found = expanded(given, {"BIN": "/bin/box", "SECRET": "s-12345678", "HOST": "h.example"})

    assert McpServer(command="/bin/box", args=("x",), env={"K": "s-12345678"}) == found["box"]
    assert {"Authorization": "Bearer s-12345678"} == found["far"].headers
    assert "https://h.example/" == found["far"].url


def test_a_missing_secret_is_named_with_its_server():
    with pytest.raises(BadInput, match=r"the MCP server 'gh' needs GH_TOKEN, which the environment does not"):
        expanded(servers({"gh": {"command": "x", "env": {"T": "${GH_TOKEN}"}}}), {})


def test_what_is_recorded_holds_no_secret_and_is_found_again_in_the_environment():
    given = servers(
        {
            "box": {"command": "x", "env": {"API_KEY": "k-written-out", "MODE": "fast", "T": "${TOKEN}"}},
            "far-away": {
                "url": "https://x.example/",
                "headers": {"Authorization": "Bearer b-written-out", "Accept": "text/plain"},
            },
        }
    )
    recorded = kept(given)

    assert "written-out" not in recorded
    assert {"API_KEY": "{secret:API_KEY}", "MODE": "fast", "T": "${TOKEN}"} == json.loads(recorded)["box"][
        "env"
    ]
    assert {"API_KEY": "k-written-out", "FAR_AWAY_AUTHORIZATION": "b-written-out", "TOKEN": "t-12345678"} == (
        secrets(given, {"TOKEN": "t-12345678"})
    )
    environ = {
        "API_KEY": "k-written-out",
        "TOKEN": "t-12345678",
        "FAR_AWAY_AUTHORIZATION": "b-written-out",
    }
    assert expanded(given, environ) == expanded(recalled(recorded), environ)


def test_a_table_comes_back_as_it_was():
    assert {"web": {"type": "stdio", **WEB}} == claude_shape(servers({"web": WEB}))
    assert {} == recalled("")
    assert "" == kept({})
