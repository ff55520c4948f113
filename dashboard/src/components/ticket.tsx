/** Where an order is written. Enter sends it; what must be mended stands beside the field that needs it. */
import { useSignal } from "@preact/signals";
import type { ComponentChildren, JSX } from "preact";
import * as api from "../net/api";
import { nonce } from "../net/sign";
import type { OrderResult, SelfTrade, TimeInForce } from "../net/types";
import { decimal, type Decimal, divide, floorTo, multiply, rounded, shown, text, ZERO } from "../lib/decimal";
import { answered, balances } from "../state/account";
import { currentBook, instrument, lastPrice } from "../state/market";
import { mayTrade, session, sessionKnown } from "../state/session";
import {
  canRest,
  cost,
  edit,
  type Faults,
  faults,
  hasPrice,
  hasTrigger,
  KINDS,
  request,
  sentence,
  ticket,
  type TicketKind,
} from "../state/ticket";
import { refused, toast, told } from "../state/toasts";
import { Panel, Segmented, words } from "./parts";

const LIFE: readonly (readonly [TimeInForce, string])[] = [
  ["good_till_cancelled", "Until cancelled"],
  ["immediate_or_cancel", "Immediate or cancel"],
  ["fill_or_kill", "Fill or kill"],
];
const SELF_TRADE: readonly SelfTrade[] = ["cancel_taker", "cancel_maker", "cancel_both", "decrement", "none"];

export function Ticket(): JSX.Element {
  return (
    <Panel class="ticket-panel" title="Order ticket">
      {!sessionKnown.value ? null : session.value === null ? (
        <div class="empty">
          <p class="empty-title">Log in to trade</p>
          <p>The market is open to see; orders need an API key.</p>
          <a class="button primary" href="/login">
            Log in
          </a>
        </div>
      ) : (
        <Form />
      )}
    </Panel>
  );
}

function Form(): JSX.Element {
  const now = instrument.value;
  const one = ticket.value;
  const tried = useSignal(false);
  const sending = useSignal(false);
  const failure = useSignal<string>("");
  if (!now) return <p class="empty">No instrument is chosen.</p>;
  const found: Faults = faults(one, now);
  const shownFaults: Faults = tried.value ? found : {};
  const [giving, have] =
    one.side === "buy" ? [now.quote, balances.value.get(now.quote)] : [now.base, balances.value.get(now.base)];
  const free = have ? decimal(have.free) : ZERO;

  const send = async (event: Event): Promise<void> => {
    event.preventDefault();
    failure.value = "";
    tried.value = true;
    const first = Object.keys(found)[0];
    if (first) {
      document.getElementById(`ticket-${first}`)?.focus();
      return;
    }
    if (sending.value) return;
    sending.value = true;
    try {
      const done = await api.call<OrderResult>("POST", "/orders", {}, request(one, now, `web-${nonce().slice(0, 24)}`));
      answered(done.order);
      tried.value = false;
      const filled = decimal(done.order.filled).units > 0n ? `, ${done.order.filled} filled` : "";
      const ended = done.order.code !== "none" ? ` (${words(done.order.code)})` : "";
      toast(
        filled ? "done" : "note",
        `${sentence(one, now)}: ${words(done.order.status)}`,
        `Order ${done.order.order_id}${filled}${ended}`,
      );
    } catch (error) {
      failure.value = told(error);
      refused(`${sentence(one, now)}: refused`, error);
    } finally {
      sending.value = false;
    }
  };

  const part = (percent: bigint): void => {
    const price = hasPrice(one.kind) && one.price ? decimal(one.price) : lastPrice.value;
    let most: Decimal = free;
    if (one.side === "buy") {
      if (!price || price.units <= 0n) return;
      const fee: Decimal = { units: 1_000_000n + BigInt(Math.max(0, now.maker_fee_ppm, now.taker_fee_ppm)), scale: 6 };
      most = divide(free, multiply(price, fee), now.quantity_decimals, "down") ?? ZERO;
    }
    const wanted = rounded(multiply(most, { units: percent, scale: 2 }), now.quantity_decimals, "down");
    edit({ quantity: text(floorTo(wanted, decimal(now.lot_size))) });
  };

  const best = (): void => {
    const book = currentBook();
    const level = one.side === "buy" ? book.bids[0] : book.asks[0];
    if (level) edit({ price: text(book.price(level.price)) });
  };

  const bound = (): void => {
    const book = currentBook();
    const level = one.side === "buy" ? book.asks[0] : book.bids[0];
    const around =
      hasTrigger(one.kind) && one.trigger ? decimal(one.trigger) : level ? book.price(level.price) : lastPrice.value;
    if (!around) return;
    const times: Decimal = { units: one.side === "buy" ? 105n : 95n, scale: 2 };
    edit({ worst: text(floorTo(multiply(around, times), decimal(now.tick_size))) });
  };

  const estimate = cost(one, now, lastPrice.value);
  return (
    <form class={`ticket ${one.side}`} onSubmit={(event) => void send(event)} noValidate autoComplete="off">
      <Segmented
        label="Side"
        class="sides"
        options={[
          ["buy", "Buy"],
          ["sell", "Sell"],
        ]}
        value={one.side}
        onChange={(side) => edit({ side })}
      />
      <label class="field">
        <span>Type</span>
        <select
          id="ticket-kind"
          value={one.kind}
          onChange={(event) => edit({ kind: event.currentTarget.value as TicketKind })}
        >
          {KINDS.map(([kind, name]) => (
            <option key={kind} value={kind}>
              {name}
            </option>
          ))}
        </select>
      </label>
      {hasTrigger(one.kind) && (
        <Amount
          name="trigger"
          label="Trigger price"
          unit={now.quote}
          step={now.tick_size}
          fault={shownFaults.trigger}
        />
      )}
      {one.kind === "trailing" && (
        <Amount name="offset" label="Trails by" unit={now.quote} step={now.tick_size} fault={shownFaults.offset} />
      )}
      {hasPrice(one.kind) && (
        <Amount
          name="price"
          label="Price"
          unit={now.quote}
          step={now.tick_size}
          fault={shownFaults.price}
          tool={
            <button
              type="button"
              class="quiet small"
              onClick={best}
              tabIndex={-1}
              title="The best price of the own side"
            >
              best
            </button>
          }
        />
      )}
      {!hasPrice(one.kind) && (
        <Amount
          name="worst"
          label="Worst price"
          unit={now.quote}
          step={now.tick_size}
          fault={shownFaults.worst}
          tool={
            <button
              type="button"
              class="quiet small"
              onClick={bound}
              tabIndex={-1}
              title="5 % beyond the trigger, or beyond the best price of the other side"
            >
              {one.side === "buy" ? "+5 %" : "−5 %"}
            </button>
          }
        />
      )}
      <Amount name="quantity" label="Quantity" unit={now.base} step={now.lot_size} fault={shownFaults.quantity} />
      <div class="parts" role="group" aria-label="Part of the free balance">
        {[25n, 50n, 75n, 100n].map((percent) => (
          <button type="button" key={String(percent)} class="small" onClick={() => part(percent)}>
            {String(percent)} %
          </button>
        ))}
      </div>
      <details class="more">
        <summary>
          {LIFE.find(([life]) => life === one.timeInForce)?.[1]}
          {canRest(one) && one.postOnly ? ", post-only" : ""}
          {canRest(one) && one.display.trim() ? ", iceberg" : ""}
          {canRest(one) && one.hidden ? ", hidden" : ""}
        </summary>
        <label class="field">
          <span>In force</span>
          <select
            id="ticket-life"
            value={one.timeInForce}
            disabled={!hasPrice(one.kind) && one.kind !== "market"}
            onChange={(event) => edit({ timeInForce: event.currentTarget.value as TimeInForce })}
          >
            {LIFE.map(([life, name]) => (
              <option key={life} value={life} disabled={!hasPrice(one.kind) && life === "good_till_cancelled"}>
                {name}
              </option>
            ))}
          </select>
        </label>
        {canRest(one) && (
          <>
            <Amount
              name="display"
              label="Shown (iceberg)"
              unit={now.base}
              step={now.lot_size}
              fault={shownFaults.display}
            />
            <Check name="postOnly" label="Post-only: refuse it rather than take" />
            <Check name="hidden" label="Hidden: behind all that is shown" />
            <Check name="day" label="Day: cancel it when the market closes" />
          </>
        )}
        <label class="field">
          <span>Self-trade</span>
          <select
            id="ticket-stp"
            value={one.selfTrade}
            onChange={(event) => edit({ selfTrade: event.currentTarget.value as SelfTrade })}
          >
            {SELF_TRADE.map((mode) => (
              <option key={mode} value={mode}>
                {words(mode)}
              </option>
            ))}
          </select>
        </label>
      </details>
      <dl class="estimate">
        <dt>Free</dt>
        <dd class="num">
          {shown(free)} {giving}
        </dd>
        <dt>{one.side === "buy" ? "Costs about" : "Brings about"}</dt>
        <dd class="num">{estimate ? `${shown(estimate.value)} ${now.quote}` : "–"}</dd>
        <dt>Fee at most</dt>
        <dd class="num">{estimate ? `${shown(estimate.fee)} ${now.quote}` : "–"}</dd>
      </dl>
      {failure.value && (
        <p class="fault" role="alert">
          {failure.value}
        </p>
      )}
      <button type="submit" id="ticket-send" class={`send ${one.side}`} disabled={sending.value || !mayTrade.value}>
        {sending.value ? "Sending…" : `${one.side === "buy" ? "▲ Buy" : "▼ Sell"} ${now.base}`}
      </button>
      {!mayTrade.value && <p class="hint">This login may not trade.</p>}
      {now.state !== "open" && (
        <p class="hint">
          {now.symbol} is {words(now.state)}.
        </p>
      )}
    </form>
  );
}

type AmountName = "price" | "worst" | "quantity" | "trigger" | "offset" | "display";

function Amount(props: {
  name: AmountName;
  label: string;
  unit: string;
  step: string;
  fault?: string | undefined;
  tool?: ComponentChildren;
}): JSX.Element {
  const id = `ticket-${props.name}`;
  const nudge = (event: KeyboardEvent): void => {
    const way = event.key === "ArrowUp" ? 1n : event.key === "ArrowDown" ? -1n : 0n;
    if (way === 0n) return;
    event.preventDefault();
    const by = decimal(props.step);
    const from = decimal(ticket.value[props.name]);
    const scale = Math.max(by.scale, from.scale);
    const units =
      from.units * 10n ** BigInt(scale - from.scale) +
      way * (event.shiftKey ? 10n : 1n) * by.units * 10n ** BigInt(scale - by.scale);
    if (units >= 0n) edit({ [props.name]: text({ units, scale }) });
  };
  return (
    <div class="field amount">
      <label for={id}>{props.label}</label>
      <div class={`input ${props.fault ? "bad" : ""}`}>
        <input
          id={id}
          inputMode="decimal"
          value={ticket.value[props.name]}
          aria-invalid={props.fault ? "true" : undefined}
          aria-describedby={props.fault ? `${id}-fault` : undefined}
          onInput={(event) => edit({ [props.name]: event.currentTarget.value })}
          onKeyDown={nudge}
        />
        {props.tool}
        <span class="unit">{props.unit}</span>
      </div>
      {props.fault && (
        <p class="fault" id={`${id}-fault`}>
          {props.fault}
        </p>
      )}
    </div>
  );
}

function Check(props: { name: "postOnly" | "hidden" | "day"; label: string }): JSX.Element {
  return (
    <label class="check">
      <input
        type="checkbox"
        checked={ticket.value[props.name]}
        onChange={(event) => edit({ [props.name]: event.currentTarget.checked })}
      />
      {props.label}
    </label>
  );
}
