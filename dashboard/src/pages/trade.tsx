/** The trading page: on wide screens everything at once, on narrow ones a pane at a time. */
import { signal } from "@preact/signals";
import type { JSX } from "preact";
import { CandleChart } from "../components/chart";
import { DepthChart } from "../components/depth";
import { Ladder } from "../components/ladder";
import { OpenOrders } from "../components/orders";
import { BalanceRows, FillRows } from "../components/rows";
import { Badge, Empty, Failed, Gain, Loading, Panel, Segmented } from "../components/parts";
import { Tape } from "../components/tape";
import { Ticket } from "../components/ticket";
import { decimal, shown } from "../lib/decimal";
import { openOrders } from "../state/account";
import { askCancelAll } from "../components/confirm";
import { type Pane, pane } from "../state/focus";
import {
  candles,
  choose,
  instrument,
  instruments,
  instrumentsFailed,
  interval,
  INTERVALS,
  lastPrice,
  marketLink,
  reloadInstruments,
  symbol,
  ticker,
  tickers,
} from "../state/market";
import { mayCancel } from "../state/session";

type View = "candles" | "depth";
type Under = "orders" | "fills" | "balances";

const view = signal<View>("candles");
const under = signal<Under>("orders");

const PANES: readonly (readonly [Pane, string])[] = [
  ["chart", "Chart"],
  ["book", "Book"],
  ["trades", "Trades"],
  ["ticket", "Order"],
  ["orders", "Open"],
];

export function Trade(): JSX.Element {
  if (instruments.value.length === 0) {
    if (instrumentsFailed.value)
      return (
        <Failed
          what="The instruments could not be read"
          error={instrumentsFailed.value}
          again={() => void reloadInstruments()}
        />
      );
    return <Loading what="Reading the market" />;
  }
  return (
    <div class="trade" data-pane={pane.value}>
      <Strip />
      <Segmented
        label="Part of the page"
        class="panes"
        options={PANES}
        value={pane.value}
        onChange={(to) => (pane.value = to)}
      />
      <Panel
        class="chart-panel"
        label="Chart"
        title={
          <Segmented
            label="Chart"
            class="plain"
            options={[
              ["candles", "Candles"],
              ["depth", "Depth"],
            ]}
            value={view.value}
            onChange={(to) => (view.value = to)}
          />
        }
        tools={
          view.value === "candles" && (
            <Segmented
              label="Interval"
              class="plain"
              options={INTERVALS.map((one) => [one, one] as const)}
              value={interval.value}
              onChange={(to) => (interval.value = to)}
            />
          )
        }
      >
        {view.value === "depth" ? (
          <DepthChart />
        ) : candles.value?.length === 0 ? (
          <Empty title="No candles yet">The first trade draws the first one.</Empty>
        ) : (
          <CandleChart />
        )}
      </Panel>
      <Ladder />
      <Ticket />
      <Tape />
      <Panel
        class="orders-panel"
        label="Orders"
        title={
          <Segmented
            label="List"
            class="plain"
            options={[
              ["orders", `Open orders ${openOrders.value.length || ""}`],
              ["fills", "Fills"],
              ["balances", "Balances"],
            ]}
            value={under.value}
            onChange={(to) => (under.value = to)}
          />
        }
        tools={
          under.value === "orders" &&
          mayCancel.value &&
          openOrders.value.length > 0 && (
            <button type="button" class="small" onClick={askCancelAll}>
              Cancel all
            </button>
          )
        }
      >
        {under.value === "orders" ? <OpenOrders /> : under.value === "fills" ? <FillRows /> : <BalanceRows />}
      </Panel>
    </div>
  );
}

function Strip(): JSX.Element {
  const now = instrument.value;
  const live = ticker.value;
  const digits = now?.price_decimals;
  const open = live ? decimal(live.lastPrice).units > 0n : false;
  return (
    <div class={`strip ${marketLink.stale.value ? "stale" : ""}`}>
      <label class="symbol">
        <span class="sr">Instrument</span>
        <select id="symbol" value={symbol.value} onChange={(event) => choose(event.currentTarget.value)}>
          {instruments.value.map((one) => {
            const its = tickers.value[one.name];
            return (
              <option key={one.name} value={one.name}>
                {one.symbol}
                {its && decimal(its.lastPrice).units > 0n
                  ? `  ${shown(decimal(its.lastPrice), one.price_decimals)}`
                  : ""}
              </option>
            );
          })}
        </select>
        <strong aria-hidden="true">{now?.symbol}</strong>
      </label>
      <div class="last">
        <span class="num">{lastPrice.value ? shown(lastPrice.value, digits) : "–"}</span>
      </div>
      <dl>
        <div>
          <dt>24 h</dt>
          <dd>{live && open ? <Gain value={decimal(live.priceChangePercent)} digits={2} suffix=" %" /> : "–"}</dd>
        </div>
        <div>
          <dt>High</dt>
          <dd class="num">{live && open ? shown(decimal(live.highPrice), digits) : "–"}</dd>
        </div>
        <div>
          <dt>Low</dt>
          <dd class="num">{live && open ? shown(decimal(live.lowPrice), digits) : "–"}</dd>
        </div>
        <div>
          <dt>Volume {now?.base}</dt>
          <dd class="num">{live ? shown(decimal(live.volume), Math.min(4, now?.quantity_decimals ?? 4)) : "–"}</dd>
        </div>
        <div>
          <dt>Turnover {now?.quote}</dt>
          <dd class="num">{live ? shown(decimal(live.quoteVolume), 0) : "–"}</dd>
        </div>
      </dl>
      {now && (
        <span class="state">
          <Badge name={now.state} />
        </span>
      )}
    </div>
  );
}
