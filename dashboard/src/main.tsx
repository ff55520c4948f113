/** Where the page begins. */
import "./style.css";
import { render } from "preact";
import { App } from "./app";
import { listenToKeys } from "./keys";
import { startAccount } from "./state/account";
import { startMarket } from "./state/market";
import { restore } from "./state/session";

startMarket();
startAccount();
listenToKeys();
void restore();
render(<App />, document.getElementById("app")!);
