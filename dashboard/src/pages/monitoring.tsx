/** Is it well? Each part with its state; rates, latencies and lag of the last minutes. */
import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import { Spark } from "../components/chart";
import { Badge, Empty, Failed, Figure, Loading, Panel, words } from "../components/parts";
import { useFetched } from "../components/use";
import { type Metrics, parseMetrics, sum, sumBy, value } from "../lib/metrics";
import { count, span } from "../lib/when";
import { get, plain } from "../net/api";
import type { Health } from "../net/types";
import { accountGaps, link, status } from "../state/account";
import { gaps, marketLink } from "../state/market";

const EVERY_MS = 2_000;
const KEPT = 90;

interface Sample {
  at: number;
  metrics: Metrics;
}

function rate(samples: Sample[], name: string): number[] {
  return samples.slice(1).map((sample, index) => {
    const before = samples[index]!;
    const seconds = Math.max(0.001, (sample.at - before.at) / 1000);
    return Math.max(0, sum(sample.metrics, name) - sum(before.metrics, name)) / seconds;
  });
}

export function Monitoring(): JSX.Element {
  const health = useFetched(() => get<Health>("/health"), EVERY_MS, []);
  const samples = useSignal<Sample[]>([]);
  const failed = useSignal<unknown>(null);
  useEffect(() => {
    let live = true;
    const take = async (): Promise<void> => {
      try {
        const metrics = parseMetrics(await plain("/metrics"));
        if (live) samples.value = [...samples.value, { at: performance.now(), metrics }].slice(-KEPT);
        failed.value = null;
      } catch (error) {
        failed.value = error;
      }
    };
    void take();
    const timer = setInterval(() => void take(), EVERY_MS);
    return () => {
      live = false;
      clearInterval(timer);
    };
  }, []);
  const now = health.data.value;
  return (
    <div class="page">
      <div class="page-head">
        <h1>Monitoring</h1>
        {now && (
          <span class="muted">
            <Badge name={health.error.value ? "down" : now.status} /> version {now.version}
          </span>
        )}
      </div>
      <Figures samples={samples.value} />
      <Panel title="Parts">
        {!now ? (
          health.error.value ? (
            <Failed what="The gateway's health could not be read" error={health.error.value} again={health.reload} />
          ) : (
            <Loading what="Asking each part" />
          )
        ) : now.parts.length === 0 ? (
          <Empty title="Parts are not shown here">Log in with a key that may read to see them.</Empty>
        ) : (
          <div class={`parts-list ${health.error.value ? "stale" : ""}`} id="parts">
            {now.parts.map((part) => (
              <article class={`part ${part.status}`} key={part.name} data-part={part.name}>
                <header>
                  <strong>{words(part.name)}</strong>
                  <Badge name={part.status} />
                </header>
                {part.detail && <p class="muted">{part.detail}</p>}
                <dl>
                  {Object.entries(part.figures)
                    .filter(([name]) => !/_p\d+_us$/.test(name))
                    .map(([name, value]) => (
                      <div key={name}>
                        <dt>{words(name.replace(/_(ns|ms|us|bytes)$/, ""))}</dt>
                        <dd class="num">{figure(name, value)}</dd>
                      </div>
                    ))}
                </dl>
              </article>
            ))}
          </div>
        )}
      </Panel>
      <Latencies samples={samples.value} failed={failed.value} />
    </div>
  );
}

function figure(name: string, value: number): string {
  if (name.endsWith("_ns")) return span(value);
  if (name.endsWith("_us")) return span(value * 1e3);
  if (name.endsWith("_ms")) return span(value * 1e6);
  if (name.endsWith("_bytes"))
    return value < 1 << 20 ? `${count(value / 1024)} KiB` : `${count(value / (1 << 20))} MiB`;
  return Number.isInteger(value) ? count(value) : value.toFixed(2);
}

const PREFIX = "ironbook_gateway_";

function Figures(props: { samples: Sample[] }): JSX.Element {
  const { samples } = props;
  const last = samples.at(-1)?.metrics;
  const shownRates: [string, string, string][] = [
    ["Requests", "http_requests_total", "/s"],
    ["Commands to the engine", "part_commands", "/s"],
    ["Records followed", "part_sequence", "/s"],
    ["Messages to sockets", "socket_messages_sent_total", "/s"],
  ];
  const ms = (value: number | null): string => (value === null ? "–" : `${value.toFixed(value < 10 ? 1 : 0)} ms`);
  const [lost, missed] = [marketLink.drops.value + link.drops.value, gaps.value + accountGaps.value];
  const mended = lost || missed ? `${lost} drops, ${missed} gaps mended` : "no drops, no gaps";
  return (
    <div class="figures">
      <Figure
        name="This page"
        note={`account ${link.state.value === "open" ? ms(link.latencyMs.value) : words(link.state.value)}; ${mended}`}
      >
        {marketLink.state.value === "open" ? ms(marketLink.latencyMs.value) : words(marketLink.state.value)}
      </Figure>
      {shownRates.map(([name, metric, unit]) => {
        const values = rate(samples, PREFIX + metric);
        return (
          <Figure key={metric} name={name} note={<Spark values={values} label={`${name} over the last minutes`} />}>
            {values.length ? `${count(values.at(-1)!)} ${unit}` : "–"}
          </Figure>
        );
      })}
      <Figure
        name="Sockets open"
        note={last ? `${count(sum(last, `${PREFIX}http_connections_open`))} connections` : ""}
      >
        {last ? count(sum(last, `${PREFIX}sockets_open`)) : "–"}
      </Figure>
      <Figure name="Behind the journal" note={`${count(status.value?.lag_records ?? 0)} records`}>
        {status.value ? span(status.value.behind_ns) : "–"}
      </Figure>
      <Figure name="Refused by limits" note="429, 418 since the start">
        {last ? count(sum(last, `${PREFIX}requests_limited_total`) + sum(last, `${PREFIX}requests_banned_total`)) : "–"}
      </Figure>
    </div>
  );
}

function Latencies(props: { samples: Sample[]; failed: unknown }): JSX.Element {
  const last = props.samples.at(-1)?.metrics;
  const title = "Latency of requests in the last minute";
  if (!last)
    return (
      <Panel title={title}>
        {props.failed ? <Failed what="Metrics could not be read" error={props.failed} /> : <Loading />}
      </Panel>
    );
  const groups = sumBy(last, `${PREFIX}request_seconds_count`, "group");
  const recent = (group: string, quantile: string): string => {
    const seconds = value(last, `${PREFIX}request_recent_seconds`, { group, quantile });
    return seconds === null ? "–" : span(seconds * 1e9);
  };
  const refusals = (group: string): number =>
    last.reduce((total, one) => {
      const counts =
        one.name === `${PREFIX}requests_total` && one.labels.group === group && Number(one.labels.status) >= 400;
      return counts ? total + one.value : total;
    }, 0);
  return (
    <Panel title={title}>
      {groups.size === 0 ? (
        <Empty title="No requests yet" />
      ) : (
        <div class={`scroll ${props.failed ? "stale" : ""}`}>
          <table class="rows" id="latencies">
            <thead>
              <tr>
                <th>Operations</th>
                <th class="right">Median</th>
                <th class="right">99 %</th>
                <th class="right">Requests since the start</th>
                <th class="right">Refused</th>
              </tr>
            </thead>
            <tbody>
              {[...groups]
                .sort((a, b) => b[1] - a[1])
                .map(([group, requests]) => (
                  <tr key={group}>
                    <td data-label="Operations">{words(group)}</td>
                    <td data-label="Median" class="right num">
                      {recent(group, "0.5")}
                    </td>
                    <td data-label="99 %" class="right num">
                      {recent(group, "0.99")}
                    </td>
                    <td data-label="Requests" class="right num">
                      {count(requests)}
                    </td>
                    <td data-label="Refused" class="right num">
                      {count(refusals(group))}
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
