/** Trades as they happen, newest first. */
import type { JSX } from "preact";
import { decimal, shown } from "../lib/decimal";
import { clock } from "../lib/when";
import { instrument, marketLink, trades } from "../state/market";
import { Empty, Panel } from "./parts";

const SHOWN = 60;

export function Tape(): JSX.Element {
  const now = instrument.value;
  const stale = marketLink.state.value !== "open";
  return (
    <Panel class="tape-panel" title="Trades">
      <div class="tape-head" aria-hidden="true">
        <span>Price {now?.quote}</span>
        <span>Size {now?.base}</span>
        <span>Time</span>
      </div>
      <div class={`tape ${stale ? "stale" : ""}`} tabIndex={0} role="list" aria-label="Trades, newest first">
        {trades.value.slice(0, SHOWN).map((trade) => {
          const side = trade.isBuyerMaker ? "sell" : "buy";
          return (
            <div class={`print ${side}`} role="listitem" key={trade.id}>
              <span class="price num">
                <i aria-label={side === "buy" ? "buyer took" : "seller took"}>{side === "buy" ? "▲" : "▼"}</i>
                {shown(decimal(trade.price), now?.price_decimals)}
              </span>
              <span class="num">{shown(decimal(trade.qty), now?.quantity_decimals)}</span>
              <span class="num faint">{clock(new Date(trade.time))}</span>
            </div>
          );
        })}
        {trades.value.length === 0 && <Empty title="No trades yet">They appear here as they happen.</Empty>}
      </div>
    </Panel>
  );
}
