/** Open orders: cancelled by one key, amended where they stand. */
import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";
import * as api from "../net/api";
import type { Order, OrderResult } from "../net/types";
import { decimal, isMultiple, parse, share, shown } from "../lib/decimal";
import { moment } from "../lib/when";
import { accountFailed, accountKnown, answered, cancelOrder, link, openOrders } from "../state/account";
import { bySymbol } from "../state/market";
import { whenRendered } from "../state/focus";
import { hasAccount, mayCancel, mayTrade, session } from "../state/session";
import { refused, toast } from "../state/toasts";
import { Badge, Empty, Failed, Loading, SideMark, words } from "./parts";

export function kindOf(order: Order): string {
  const trigger = order.trigger === "take_profit" ? "take profit" : order.trigger;
  const parts = [trigger, order.type === "limit" || !trigger ? words(order.type) : "market"].filter(Boolean).join(" ");
  const flags = [order.post_only ? "post-only" : "", order.display_quantity ? "iceberg" : ""].filter(Boolean);
  return flags.length ? `${parts}, ${flags.join(", ")}` : parts;
}

export function OpenOrders(): JSX.Element {
  const amending = useSignal<number | null>(null);
  if (session.value === null) return <Empty title="Not logged in">Log in to see open orders.</Empty>;
  if (!hasAccount.value) return <Empty title="No account">This key belongs to none, so it has no orders.</Empty>;
  if (!accountKnown.value)
    return accountFailed.value ? (
      <Failed what="Open orders could not be read" error={accountFailed.value} />
    ) : (
      <Loading what="Reading open orders" />
    );
  if (openOrders.value.length === 0)
    return <Empty title="No open orders">Orders that rest or wait for a trigger stand here.</Empty>;
  return (
    <div class={`scroll ${link.state.value === "open" ? "" : "stale"}`}>
      <table class="rows" id="open-orders">
        <thead>
          <tr>
            <th>Symbol</th>
            <th>Side</th>
            <th>Type</th>
            <th class="right">Price</th>
            <th class="right">Quantity</th>
            <th class="right">Filled</th>
            <th class="right wide">Trigger</th>
            <th>Status</th>
            <th class="wide">Entered</th>
            <th class="right">
              <span class="sr">Actions</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {openOrders.value.map((order) =>
            amending.value === order.order_id ? (
              <AmendRow key={order.order_id} order={order} onEnd={() => (amending.value = null)} />
            ) : (
              <OrderRow key={order.order_id} order={order} onAmend={() => (amending.value = order.order_id)} />
            ),
          )}
        </tbody>
      </table>
    </div>
  );
}

function OrderRow(props: { order: Order; onAmend: () => void }): JSX.Element {
  const { order } = props;
  const now = bySymbol.value.get(order.symbol);
  const mayAmend = mayTrade.value && order.type === "limit" && order.status !== "waiting";
  const keys = (event: KeyboardEvent): void => {
    const row = event.currentTarget as HTMLElement;
    const to =
      event.key === "ArrowDown" ? row.nextElementSibling : event.key === "ArrowUp" ? row.previousElementSibling : null;
    if (to instanceof HTMLElement) {
      event.preventDefault();
      to.focus();
    } else if (event.target === row && (event.key === "e" || event.key === "Enter") && mayAmend) {
      event.preventDefault();
      props.onAmend();
    } else if (event.target === row && (event.key === "Delete" || event.key === "Backspace") && mayCancel.value) {
      event.preventDefault();
      void cancelOrder(order);
    }
  };
  return (
    <tr data-order={order.order_id} tabIndex={0} onKeyDown={keys} onDblClick={() => mayAmend && props.onAmend()}>
      <td data-label="Symbol">{order.symbol}</td>
      <td data-label="Side">
        <SideMark side={order.side} />
      </td>
      <td data-label="Type">{kindOf(order)}</td>
      <td data-label="Price" class="right num" data-field="price">
        {order.price === null ? "market" : shown(decimal(order.price), now?.price_decimals)}
      </td>
      <td data-label="Quantity" class="right num" data-field="quantity">
        {shown(decimal(order.quantity), now?.quantity_decimals)}
      </td>
      <td data-label="Filled" class="right num" data-field="filled">
        <span class="fill-part" aria-hidden="true">
          <i style={{ width: `${share(decimal(order.filled), decimal(order.quantity)) * 100}%` }} />
        </span>
        {shown(decimal(order.filled), now?.quantity_decimals)}
      </td>
      <td data-label="Trigger" class="right num wide">
        {order.trigger_price ? shown(decimal(order.trigger_price), now?.price_decimals) : "–"}
      </td>
      <td data-label="Status">
        <Badge name={order.status} />
      </td>
      <td data-label="Entered" class="num faint wide">
        {moment(order.entered_ns)}
      </td>
      <td class="right actions">
        {mayAmend && (
          <button type="button" class="small" onClick={props.onAmend} aria-label={`Amend order ${order.order_id}`}>
            Amend
          </button>
        )}
        {mayCancel.value && (
          <button
            type="button"
            class="small"
            onClick={() => void cancelOrder(order)}
            aria-label={`Cancel order ${order.order_id}`}
          >
            Cancel
          </button>
        )}
      </td>
    </tr>
  );
}

function AmendRow(props: { order: Order; onEnd: () => void }): JSX.Element {
  const { order } = props;
  const price = useSignal(order.price ?? "");
  const quantity = useSignal(order.quantity);
  const fault = useSignal("");
  const sending = useSignal(false);
  const first = useRef<HTMLInputElement>(null);
  const now = bySymbol.value.get(order.symbol);
  // Before the next key, as all that moves the focus.
  useLayoutEffect(() => {
    first.current?.focus();
    first.current?.select();
  }, []);

  const leave = (): void => {
    props.onEnd();
    whenRendered(() => document.querySelector<HTMLElement>(`[data-order="${order.order_id}"]`)?.focus());
  };

  const send = async (): Promise<void> => {
    const [wantedPrice, wantedQuantity] = [parse(price.value), parse(quantity.value)];
    if (!wantedPrice || (now && !isMultiple(wantedPrice, decimal(now.tick_size)))) {
      fault.value = `Price must be a multiple of ${now?.tick_size}`;
      return;
    }
    if (!wantedQuantity || (now && !isMultiple(wantedQuantity, decimal(now.lot_size)))) {
      fault.value = `Quantity must be a multiple of ${now?.lot_size}`;
      return;
    }
    sending.value = true;
    try {
      const body = { price: price.value.trim(), quantity: quantity.value.trim() };
      const done = await api.call<OrderResult>("PATCH", `/orders/${order.order_id}`, {}, body);
      answered(done.order);
      toast("note", `Order ${order.order_id} amended`, `${done.order.quantity} at ${done.order.price ?? "market"}`);
      leave();
    } catch (error) {
      sending.value = false;
      refused(`Order ${order.order_id} was not amended`, error);
    }
  };

  const keys = (event: KeyboardEvent): void => {
    if (event.key === "Enter") {
      event.preventDefault();
      void send();
    } else if (event.key === "Escape") {
      event.preventDefault();
      event.stopPropagation();
      leave();
    }
  };
  const field = (name: string, value: typeof price, ref?: typeof first): JSX.Element => (
    <input
      {...(ref ? { ref } : {})}
      class="num"
      inputMode="decimal"
      aria-label={`${name} of order ${order.order_id}`}
      value={value.value}
      onInput={(event) => {
        value.value = event.currentTarget.value;
        fault.value = "";
      }}
    />
  );
  return (
    <tr class="amending" data-order={order.order_id} onKeyDown={keys}>
      <td data-label="Symbol">{order.symbol}</td>
      <td data-label="Side">
        <SideMark side={order.side} />
      </td>
      <td data-label="Type">{kindOf(order)}</td>
      <td data-label="Price" class="right">
        {field("Price", price, first)}
      </td>
      <td data-label="Quantity" class="right">
        {field("Quantity", quantity)}
      </td>
      <td colSpan={4} class="note-cell">
        {fault.value ? (
          <span class="fault" role="alert">
            {fault.value}
          </span>
        ) : (
          <span class="hint">
            A new price or a larger quantity loses the place in the queue. Enter sends, Esc leaves it.
          </span>
        )}
      </td>
      <td class="right actions">
        <button type="button" class="small primary" disabled={sending.value} onClick={() => void send()}>
          Send
        </button>
        <button type="button" class="small" onClick={leave}>
          Leave
        </button>
      </td>
    </tr>
  );
}
