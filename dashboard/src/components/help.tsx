/** Keys of the whole page, and what they do. */
import { signal } from "@preact/signals";
import type { JSX } from "preact";
import { Dialog } from "./parts";

export const helpOpen = signal(false);

const KEYS: readonly (readonly [string, readonly (readonly [string, string])[]])[] = [
  [
    "Everywhere",
    [
      ["1 … 6", "Trade, Positions, Executions, Analytics, Risk, Monitor"],
      ["T", "light or dark"],
      ["?", "this help"],
      ["Esc", "leaves a field, an amendment, a dialog"],
    ],
  ],
  [
    "Trading",
    [
      ["B, S", "write a buy, a sell"],
      ["L", "to the book: ↑ ↓ choose a price, Enter takes it, B or S also sets the side"],
      ["O", "to the open orders: ↑ ↓ move, E amends, Del cancels"],
      ["/", "choose the instrument"],
      ["X", "cancel all open orders (asks first)"],
    ],
  ],
  [
    "In the ticket",
    [
      ["↑ ↓", "one tick or lot up or down, ten with Shift"],
      ["Enter", "sends the order"],
    ],
  ],
];

export function Help(): JSX.Element | null {
  if (!helpOpen.value) return null;
  return (
    <Dialog title="Keys" onClose={() => (helpOpen.value = false)} class="help">
      {KEYS.map(([title, rows]) => (
        <section key={title}>
          <h3>{title}</h3>
          <dl>
            {rows.map(([key, what]) => (
              <div key={key}>
                <dt>
                  {key.split(", ").map((one) => (
                    <kbd key={one}>{one}</kbd>
                  ))}
                </dt>
                <dd>{what}</dd>
              </div>
            ))}
          </dl>
        </section>
      ))}
      <p class="hint">
        Blue with ▲ or + is buying and gain, orange with ▼ or − is selling and loss. Faded figures are not live. Charts
        are drawn by{" "}
        <a href="https://www.tradingview.com/" target="_blank" rel="noreferrer">
          TradingView
        </a>{" "}
        Lightweight Charts™.
      </p>
    </Dialog>
  );
}
