/** Keys that work wherever no field is being written in. */
import { askCancelAll } from "./components/confirm";
import { helpOpen } from "./components/help";
import { PAGES } from "./app";
import { openOrders } from "./state/account";
import { focusField, focusOn, pane, whenRendered } from "./state/focus";
import { go } from "./state/route";
import { mayCancel, session } from "./state/session";
import { toggleTheme } from "./state/theme";
import { edit, hasPrice, hasTrigger, ticket } from "./state/ticket";

function write(side: "buy" | "sell"): void {
  go("/");
  edit({ side });
  if (session.value) {
    const { kind } = ticket.value;
    focusField(hasTrigger(kind) ? "trigger" : hasPrice(kind) ? "price" : kind === "trailing" ? "offset" : "worst");
  }
}

function toOrders(): void {
  go("/");
  pane.value = "orders";
  whenRendered(() => document.querySelector<HTMLElement>("#open-orders tbody tr")?.focus());
}

const ACTIONS: Record<string, () => void> = {
  "?": () => (helpOpen.value = true),
  t: toggleTheme,
  b: () => write("buy"),
  s: () => write("sell"),
  l: () => {
    go("/");
    focusOn("ladder", "book");
  },
  o: toOrders,
  "/": () => {
    go("/");
    focusOn("symbol");
  },
  x: () => {
    if (mayCancel.value && openOrders.value.length > 0) askCancelAll();
  },
};

export function listenToKeys(): void {
  document.addEventListener("keydown", (event) => {
    const target = event.target instanceof HTMLElement ? event.target : null;
    const writing = target?.closest("input, select, textarea") !== null && target !== null;
    if (event.key === "Escape" && writing) {
      target.blur();
      return;
    }
    if (
      event.defaultPrevented ||
      writing ||
      event.metaKey ||
      event.ctrlKey ||
      event.altKey ||
      document.querySelector("dialog[open]")
    )
      return;
    const page = PAGES[Number(event.key) - 1];
    const act = page ? () => go(page[0]) : ACTIONS[event.key.toLowerCase()];
    if (!act) return;
    event.preventDefault();
    act();
  });
}
