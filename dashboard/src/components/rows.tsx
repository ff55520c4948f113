/** Lists of the account: fills, balances. */
import type { JSX } from "preact";
import type { Execution } from "../net/types";
import { decimal, shown, trimmed } from "../lib/decimal";
import { moment } from "../lib/when";
import { accountFailed, accountKnown, balances, fills } from "../state/account";
import { bySymbol } from "../state/market";
import { hasAccount, session } from "../state/session";
import { Empty, Failed, Loading, SideMark } from "./parts";

function waiting(what: string): JSX.Element | null {
  if (session.value === null) return <Empty title="Not logged in">Log in to see {what}.</Empty>;
  if (!hasAccount.value) return <Empty title="No account">This key belongs to none, so it has no {what}.</Empty>;
  if (accountKnown.value) return null;
  return accountFailed.value ? (
    <Failed what="The account could not be read" error={accountFailed.value} />
  ) : (
    <Loading what={`Reading ${what}`} />
  );
}

export function FillRows(): JSX.Element {
  const wait = waiting("fills");
  if (wait) return wait;
  if (fills.value.length === 0)
    return <Empty title="No fills yet">Every fill of the account is listed here and under Executions.</Empty>;
  return (
    <div class="scroll">
      <FillTable fills={fills.value.slice(0, 50)} />
    </div>
  );
}

export function FillTable(props: { fills: Execution[] }): JSX.Element {
  return (
    <table class="rows" id="fills">
      <thead>
        <tr>
          <th>Time</th>
          <th>Symbol</th>
          <th>Side</th>
          <th class="right">Price</th>
          <th class="right">Quantity</th>
          <th class="right">Value</th>
          <th class="right">Fee</th>
          <th class="wide">Role</th>
          <th class="right wide">Order</th>
          <th class="right wide">Trade</th>
        </tr>
      </thead>
      <tbody>
        {props.fills.map((fill) => {
          const now = bySymbol.value.get(fill.symbol);
          return (
            <tr key={`${fill.sequence}.${fill.n}`}>
              <td data-label="Time" class="num faint">
                {moment(fill.received_ns)}
              </td>
              <td data-label="Symbol">{fill.symbol}</td>
              <td data-label="Side">
                <SideMark side={fill.side} />
              </td>
              <td data-label="Price" class="right num">
                {shown(decimal(fill.price), now?.price_decimals)}
              </td>
              <td data-label="Quantity" class="right num">
                {shown(decimal(fill.quantity), now?.quantity_decimals)}
              </td>
              <td data-label="Value" class="right num">
                {shown(decimal(fill.notional), Math.min(2, now?.quote_decimals ?? 2))}
              </td>
              <td data-label="Fee" class="right num">
                {shown(trimmed(decimal(fill.fee)))} {fill.fee_asset}
              </td>
              <td data-label="Role" class="wide">
                {fill.maker ? "maker" : "taker"}
              </td>
              <td data-label="Order" class="right num faint wide">
                {fill.order_id}
              </td>
              <td data-label="Trade" class="right num faint wide">
                {fill.trade_id}
              </td>
            </tr>
          );
        })}
      </tbody>
    </table>
  );
}

export function BalanceRows(): JSX.Element {
  const wait = waiting("balances");
  if (wait) return wait;
  const all = [...balances.value.values()].sort((a, b) => a.asset.localeCompare(b.asset));
  if (all.length === 0) return <Empty title="No balances">Nothing was ever deposited to this account.</Empty>;
  return (
    <div class="scroll">
      <table class="rows" id="balances">
        <thead>
          <tr>
            <th>Asset</th>
            <th class="right">Free</th>
            <th class="right">Locked by orders</th>
            <th class="right">Total</th>
          </tr>
        </thead>
        <tbody>
          {all.map((one) => (
            <tr key={one.asset}>
              <td data-label="Asset">{one.asset}</td>
              <td data-label="Free" class="right num">
                {shown(decimal(one.free))}
              </td>
              <td data-label="Locked" class="right num">
                {shown(decimal(one.locked))}
              </td>
              <td data-label="Total" class="right num">
                {shown(decimal(one.total))}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
