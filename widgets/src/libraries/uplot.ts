// Charts. `await store.library("uplot")` gives this module.

export { default } from "uplot";
export { default as css } from "uplot/dist/uPlot.min.css?inline";
