// The terminal. `await store.library("xterm")` gives this module.

export { Terminal } from "@xterm/xterm";
export { FitAddon } from "@xterm/addon-fit";
export { default as css } from "@xterm/xterm/css/xterm.css?inline";
