import { render } from "preact";
import { App } from "./app";
import { follow } from "./lib/router";
import { start } from "./state/node";
import { applyTheme } from "./state/theme";

applyTheme();
follow();
start();
const root = document.getElementById("desk");
if (root) render(<App />, root);
