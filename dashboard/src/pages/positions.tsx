/** Positions with profit and loss, and what the account is worth. */
import type { JSX } from "preact";
import { Figure, Empty, Failed, Gain, Loading, Panel } from "../components/parts";
import { useFetched } from "../components/use";
import { NeedsLogin } from "../components/needs";
import { add, decimal, type Decimal, divide, multiply, shown, sign, subtract, ZERO } from "../lib/decimal";
import { get } from "../net/api";
import type { Instrument, Portfolio, Position } from "../net/types";
import { accountFailed, accountKnown, link, positions } from "../state/account";
import { bySymbol, tickers } from "../state/market";

/** At the newest price that is known here: the stream of tickers is quicker than the account's. */
function valued(
  one: Position,
  instrument: Instrument | undefined,
): { last: Decimal | null; unrealised: Decimal | null; value: Decimal | null } {
  const ticker = instrument ? tickers.value[instrument.name] : undefined;
  const live = ticker ? decimal(ticker.lastPrice) : ZERO;
  const last = live.units > 0n ? live : one.last_price !== null ? decimal(one.last_price) : null;
  if (!last) return { last: null, unrealised: one.unrealised === null ? null : decimal(one.unrealised), value: null };
  const value = multiply(decimal(one.position), last);
  return { last, unrealised: subtract(value, decimal(one.cost)), value };
}

export function Positions(): JSX.Element {
  return (
    <NeedsLogin what="positions">
      <Content />
    </NeedsLogin>
  );
}

function Content(): JSX.Element {
  if (!accountKnown.value)
    return accountFailed.value ? (
      <Failed what="Positions could not be read" error={accountFailed.value} />
    ) : (
      <Loading what="Reading positions" />
    );
  const all = [...positions.value.values()].sort((a, b) => a.symbol.localeCompare(b.symbol));
  const totals = new Map<string, { realised: Decimal; unrealised: Decimal; fees: Decimal }>();
  for (const one of all) {
    const sum = totals.get(one.quote) ?? { realised: ZERO, unrealised: ZERO, fees: ZERO };
    const { unrealised } = valued(one, bySymbol.value.get(one.symbol));
    totals.set(one.quote, {
      realised: add(sum.realised, decimal(one.realised)),
      unrealised: add(sum.unrealised, unrealised ?? ZERO),
      fees: add(sum.fees, decimal(one.fees)),
    });
  }
  return (
    <div class="page">
      <h1>Positions</h1>
      {[...totals].map(([quote, sum]) => {
        const net = subtract(add(sum.realised, sum.unrealised), sum.fees);
        return (
          <div class="figures" key={quote}>
            <Figure name={`Net P&L, ${quote}`}>
              <Gain value={net} digits={2} />
            </Figure>
            <Figure name="Realised">
              <Gain value={sum.realised} digits={2} />
            </Figure>
            <Figure name="Unrealised">
              <Gain value={sum.unrealised} digits={2} />
            </Figure>
            <Figure name="Fees">{shown(sum.fees, 2)}</Figure>
          </div>
        );
      })}
      <Panel title="By instrument">
        {all.length === 0 ? (
          <Empty title="No positions">The first fill opens one.</Empty>
        ) : (
          <div class={`scroll ${link.state.value === "open" ? "" : "stale"}`}>
            <table class="rows" id="positions">
              <thead>
                <tr>
                  <th>Symbol</th>
                  <th>Side</th>
                  <th class="right">Position</th>
                  <th class="right">Average price</th>
                  <th class="right">Last price</th>
                  <th class="right">Value</th>
                  <th class="right">Unrealised</th>
                  <th class="right">Realised</th>
                  <th class="right wide">Fees</th>
                  <th class="right wide">Fills</th>
                </tr>
              </thead>
              <tbody>
                {all.map((one) => (
                  <PositionRow key={one.symbol} one={one} />
                ))}
              </tbody>
            </table>
          </div>
        )}
      </Panel>
      <Worth />
    </div>
  );
}

function PositionRow(props: { one: Position }): JSX.Element {
  const { one } = props;
  const now = bySymbol.value.get(one.symbol);
  const { last, unrealised, value } = valued(one, now);
  const way = sign(decimal(one.position));
  const digits = now?.price_decimals;
  const percent =
    unrealised && decimal(one.cost).units !== 0n
      ? divide(multiply(unrealised, decimal("100")), decimal(one.cost.replace("-", "")), 2)
      : null;
  return (
    <tr>
      <td data-label="Symbol">{one.symbol}</td>
      <td data-label="Side">
        {way === 0 ? (
          <span class="muted">flat</span>
        ) : way > 0 ? (
          <span class="side buy">▲ Long</span>
        ) : (
          <span class="side sell">▼ Short</span>
        )}
      </td>
      <td data-label="Position" class="right num">
        {shown(decimal(one.position), now?.quantity_decimals)}
      </td>
      <td data-label="Average price" class="right num">
        {one.average_price === null ? "–" : shown(decimal(one.average_price), digits)}
      </td>
      <td data-label="Last price" class="right num">
        {last ? shown(last, digits) : "–"}
      </td>
      <td data-label="Value" class="right num">
        {value ? `${shown(value, 2)} ${one.quote}` : "–"}
      </td>
      <td data-label="Unrealised" class="right">
        {unrealised ? <Gain value={unrealised} digits={2} /> : "–"}{" "}
        {percent && <small class="muted num">{shown(percent, 2)} %</small>}
      </td>
      <td data-label="Realised" class="right">
        <Gain value={decimal(one.realised)} digits={2} />
      </td>
      <td data-label="Fees" class="right num wide">
        {shown(decimal(one.fees), 2)}
      </td>
      <td data-label="Fills" class="right num faint wide">
        {one.fill_count}
      </td>
    </tr>
  );
}

function Worth(): JSX.Element {
  const { data, error, reload } = useFetched(() => get<Portfolio>("/portfolio"), 5_000, []);
  const worth = data.value;
  return (
    <Panel
      title="Portfolio"
      tools={worth && <strong class="num">{`${shown(decimal(worth.total), 2)} ${worth.asset}`}</strong>}
    >
      {!worth ? (
        error.value ? (
          <Failed what="The portfolio could not be read" error={error.value} again={reload} />
        ) : (
          <Loading />
        )
      ) : worth.items.length === 0 ? (
        <Empty title="Nothing here yet">Deposits and fills bring assets.</Empty>
      ) : (
        <div class={`scroll ${error.value ? "stale" : ""}`}>
          <table class="rows">
            <thead>
              <tr>
                <th>Asset</th>
                <th class="right">Free</th>
                <th class="right">Locked</th>
                <th class="right">Total</th>
                <th class="right">Price</th>
                <th class="right">Value {worth.asset}</th>
              </tr>
            </thead>
            <tbody>
              {worth.items.map((one) => (
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
                  <td data-label="Price" class="right num">
                    {one.price === null ? "–" : shown(decimal(one.price))}
                  </td>
                  <td data-label="Value" class="right num">
                    {one.value === null ? "–" : shown(decimal(one.value), 2)}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </Panel>
  );
}
