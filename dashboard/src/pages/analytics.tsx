/** How the account did: the curve, how far it fell, how often it won, and where. */
import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useMemo } from "preact/hooks";
import { Curve, type Point } from "../components/chart";
import { NeedsLogin } from "../components/needs";
import { Empty, Failed, Figure, Gain, Loading, Panel, Segmented } from "../components/parts";
import { useFetched } from "../components/use";
import { decimal, multiply, negated, shown, toNumber } from "../lib/decimal";
import { count } from "../lib/when";
import { get } from "../net/api";
import type { Analytics as Figures, DailyResults } from "../net/types";

const SPANS = [
  ["7", "7 d"],
  ["30", "30 d"],
  ["90", "90 d"],
  ["", "All"],
] as const;
type Span = (typeof SPANS)[number][0];

export function Analytics(): JSX.Element {
  return (
    <NeedsLogin what="analytics">
      <Content />
    </NeedsLogin>
  );
}

const dayAgo = (days: string): string | null =>
  days === "" ? null : new Date(Date.now() - (Number(days) - 1) * 86_400_000).toISOString().slice(0, 10);
const percent = (ratio: string | null): string =>
  ratio === null ? "–" : `${shown(multiply(decimal(ratio), decimal("100")), 1)} %`;

function Content(): JSX.Element {
  const span = useSignal<Span>("30");
  const from = dayAgo(span.value);
  const figures = useFetched(() => get<Figures>("/analytics", { from_day: from }), 10_000, [span.value]);
  const daily = useFetched(() => get<DailyResults>("/analytics/daily-pnl", { from_day: from }), 10_000, [span.value]);
  const all = figures.data.value;
  const days = daily.data.value;
  const drawn = JSON.stringify(days?.items ?? []);
  // The same days again, fetched anew, must not draw the charts again.
  const [curve, fall, columns] = useMemo(() => {
    const items = JSON.parse(drawn) as DailyResults["items"];
    const points = (pick: (item: DailyResults["items"][number]) => number): Point[] =>
      items.map((item) => ({ time: Date.parse(`${item.day}T00:00:00Z`) / 1000, value: pick(item) }));
    return [
      points((item) => toNumber(decimal(item.cumulative))),
      points((item) => toNumber(negated(decimal(item.drawdown)))),
      points((item) => toNumber(decimal(item.net))),
    ] as const;
  }, [drawn]);
  return (
    <div class="page">
      <div class="page-head">
        <h1>Analytics</h1>
        <Segmented label="Days" class="plain" options={SPANS} value={span.value} onChange={(to) => (span.value = to)} />
      </div>
      {!all ? (
        figures.error.value ? (
          <Failed what="Analytics could not be read" error={figures.error.value} again={figures.reload} />
        ) : (
          <Loading what="Reading analytics" />
        )
      ) : (
        <>
          <Overview all={all} />
          {days && days.items.length > 0 ? (
            <div class="charts">
              <Panel title={`Net P&L, ${days.asset}`}>
                <Curve kind="result" points={curve} digits={2} label="Cumulative net profit and loss by day" />
              </Panel>
              <Panel title="Drawdown">
                <Curve
                  kind="drawdown"
                  points={fall}
                  digits={2}
                  label="How far the curve stood below its highest, by day"
                />
              </Panel>
              <Panel title="By day">
                <Curve kind="columns" points={columns} digits={2} label="Net profit and loss of each day" />
              </Panel>
            </div>
          ) : daily.error.value ? (
            <Failed what="Daily results could not be read" error={daily.error.value} again={daily.reload} />
          ) : (
            <Panel title="Net P&L">
              <Empty title="No days to draw">A day with a fill makes the first point of the curve.</Empty>
            </Panel>
          )}
          <BySymbol all={all} />
        </>
      )}
    </div>
  );
}

function Overview(props: { all: Figures }): JSX.Element {
  const { all } = props;
  return (
    <div class="figures">
      <Figure name={`Net, ${all.asset}`} note={`fees ${shown(decimal(all.fees), 2)}`}>
        <Gain value={decimal(all.net)} digits={2} />
      </Figure>
      <Figure name="Win rate" note={`${count(all.winners)} won, ${count(all.losers)} lost`}>
        {percent(all.win_rate)}
      </Figure>
      <Figure name="Profit factor" note="gross profit ÷ gross loss">
        {all.profit_factor === null ? "–" : shown(decimal(all.profit_factor), 2)}
      </Figure>
      <Figure name="Largest drawdown" note="of the daily curve">
        {decimal(all.max_drawdown).units === 0n ? (
          "0.00"
        ) : (
          <Gain value={negated(decimal(all.max_drawdown))} digits={2} />
        )}
      </Figure>
      <Figure name="Average win" note="a closing fill">
        {all.average_win === null ? "–" : <Gain value={decimal(all.average_win)} digits={2} />}
      </Figure>
      <Figure name="Average loss" note="a closing fill">
        {all.average_loss === null ? (
          "–"
        ) : (
          <Gain value={negated(decimal(all.average_loss.replace("-", "")))} digits={2} />
        )}
      </Figure>
      <Figure name="Fill ratio" note={`${count(all.orders)} orders, ${count(all.rejected)} refused`}>
        {percent(all.fill_ratio)}
      </Figure>
      <Figure name={`Turnover, ${all.asset}`} note={`${count(all.trades)} fills`}>
        {shown(decimal(all.volume), 0)}
      </Figure>
    </div>
  );
}

function BySymbol(props: { all: Figures }): JSX.Element {
  const rows = props.all.by_symbol;
  return (
    <Panel title="By instrument">
      {rows.length === 0 ? (
        <Empty title="Nothing traded">Instruments appear here with their first fill.</Empty>
      ) : (
        <div class="scroll">
          <table class="rows" id="by-symbol">
            <thead>
              <tr>
                <th>Symbol</th>
                <th class="right">Net</th>
                <th class="right">Realised</th>
                <th class="right">Fees</th>
                <th class="right">Win rate</th>
                <th class="right">Profit factor</th>
                <th class="right">Fills</th>
                <th class="right">Turnover</th>
              </tr>
            </thead>
            <tbody>
              {rows.map((one) => (
                <tr key={one.symbol}>
                  <td data-label="Symbol">{one.symbol}</td>
                  <td data-label="Net" class="right">
                    <Gain value={decimal(one.net)} digits={2} />
                  </td>
                  <td data-label="Realised" class="right">
                    <Gain value={decimal(one.realised)} digits={2} />
                  </td>
                  <td data-label="Fees" class="right num">
                    {shown(decimal(one.fees), 2)}
                  </td>
                  <td data-label="Win rate" class="right num">
                    {percent(one.win_rate)}
                  </td>
                  <td data-label="Profit factor" class="right num">
                    {one.profit_factor === null ? "–" : shown(decimal(one.profit_factor), 2)}
                  </td>
                  <td data-label="Fills" class="right num">
                    {count(one.trades)}
                  </td>
                  <td data-label="Turnover" class="right num">
                    {shown(decimal(one.volume), 0)}
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
