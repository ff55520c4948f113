/** Limits and how much of them is used, circuit breakers, and the switches that stop trading. */
import type { ComponentChildren, JSX } from "preact";
import { useSignal } from "@preact/signals";
import { ask, askCancelAll } from "../components/confirm";
import { NeedsLogin } from "../components/needs";
import { Badge, Empty, Failed, Loading, Meter, Panel, words } from "../components/parts";
import { useFetched } from "../components/use";
import { add, compare, decimal, multiply, negated, share, shown, toNumber, trimmed } from "../lib/decimal";
import { count, moment, span } from "../lib/when";
import { call, get } from "../net/api";
import type { Alert, HaltAction, HaltScope, Health, Instrument, Page, RiskState, Used } from "../net/types";
import { openOrders, status } from "../state/account";
import { bySymbol, instrument, instruments } from "../state/market";
import { hasAccount, isAdmin, mayCancel, session } from "../state/session";
import { refused, toast } from "../state/toasts";

type BreakerRow = RiskState["breakers"][number];

export function Risk(): JSX.Element {
  return (
    <NeedsLogin what="risk" operator>
      {hasAccount.value ? <OfAccount /> : <OfOperator />}
    </NeedsLogin>
  );
}

function OfAccount(): JSX.Element {
  const risk = useFetched(() => get<RiskState>("/risk"), 1_500, []);
  const now = risk.data.value;
  return (
    <Frame failed={risk.error.value} known={now !== null} again={risk.reload}>
      {now && (
        <>
          <Halts everything={now.everything_halted} account={now.halted ? now.account : null} rows={now.breakers} />
          <Limits risk={now} />
          <Switches risk={now} again={risk.reload} />
          <Breakers rows={now.breakers} />
          <Alerts />
        </>
      )}
    </Frame>
  );
}

/** An operator's key has no account of its own, and so no limits: states and switches are all there is to see. */
function OfOperator(): JSX.Element {
  const market = useFetched(() => get<Page<Instrument>>("/instruments"), 1_500, []);
  const rows = market.data.value?.items ?? null;
  return (
    <Frame failed={market.error.value} known={rows !== null} again={market.reload}>
      {rows && (
        <>
          <Halts everything={status.value?.everything_halted ?? false} account={null} rows={rows} />
          <Switches risk={null} again={market.reload} />
          <Breakers rows={rows} />
        </>
      )}
    </Frame>
  );
}

function Frame(props: {
  failed: unknown;
  known: boolean;
  again: () => void;
  children: ComponentChildren;
}): JSX.Element {
  return (
    <div class="page">
      <h1>Risk</h1>
      {props.known ? (
        <div class={`columns ${props.failed ? "stale" : ""}`}>{props.children}</div>
      ) : props.failed ? (
        <Failed what="The risk state could not be read" error={props.failed} again={props.again} />
      ) : (
        <Loading what="Reading the risk state" />
      )}
    </div>
  );
}

function Halts(props: { everything: boolean; account: number | null; rows: BreakerRow[] }): JSX.Element | null {
  const halted = props.rows.filter((one) => one.state === "halted" || one.state === "closed");
  if (!props.everything && props.account === null && halted.length === 0) return null;
  return (
    <div class="notice bad span-all" role="alert" id="halts">
      <strong>■ Halted: </strong>
      {props.everything
        ? "everything. No order is taken in any instrument; cancels still work."
        : props.account !== null
          ? `account ${props.account}. It enters no orders; cancels still work.`
          : `${halted.map((one) => one.symbol).join(", ")}. No order is taken there; cancels still work.`}
    </div>
  );
}

const usePart = (used: Used): number => (used.max ? used.used / used.max : 0);
const useText = (used: Used): string => `${count(used.used)} / ${used.max === null ? "no limit" : count(used.max)}`;

/** Limits of an account are in units and lots; they are shown as what those are in the chosen instrument. */
function inQuote(units: number | null): string {
  const now = instrument.value;
  if (units === null) return "no limit";
  if (!now) return `${count(units)} units`;
  return `${shown(trimmed({ units: BigInt(units), scale: now.quote_decimals }))} ${now.quote}`;
}

function inBase(lots: number | null): string {
  const now = instrument.value;
  if (lots === null) return "no limit";
  if (!now) return `${count(lots)} lots`;
  return `${shown(multiply({ units: BigInt(lots), scale: 0 }, decimal(now.lot_size)))} ${now.base} (${count(lots)} lots)`;
}

function Limits(props: { risk: RiskState }): JSX.Element {
  const { risk } = props;
  const counts: [string, Used][] = [
    ["Open orders", risk.open_orders],
    [`Orders in ${span(risk.order_rate.window_ms * 1e6)}, at the engine`, risk.order_rate],
    ["Orders in 10 s, at the gateway", risk.orders_10s],
    ["Orders today, at the gateway", risk.orders_day],
  ];
  return (
    <Panel
      title={`Limits of account ${risk.account}`}
      tools={
        <span class="muted">
          firm {risk.firm}, fee tier {risk.fee_tier}
        </span>
      }
    >
      <div class="meters">
        {counts.map(([name, used]) => (
          <Meter key={name} name={name} part={usePart(used)} text={useText(used)} limited={used.max !== null} />
        ))}
        {risk.positions.map((one) => {
          const long = add(decimal(one.position), decimal(one.open_buy));
          const short = add(negated(decimal(one.position)), decimal(one.open_sell));
          const worst = compare(long, short) >= 0 ? long : short;
          const part = one.share !== null ? toNumber(decimal(one.share)) : one.max ? share(worst, decimal(one.max)) : 0;
          return (
            <Meter
              key={one.symbol}
              name={`Position ${one.symbol}`}
              part={part}
              text={`${shown(decimal(one.position))} (+${shown(decimal(one.open_buy))} / −${shown(decimal(one.open_sell))}) / ${one.max === null ? "no limit" : shown(decimal(one.max))}`}
              limited={one.max !== null}
            />
          );
        })}
      </div>
      <dl class="pairs">
        <dt>Value of one order at most</dt>
        <dd class="num">{inQuote(risk.notional_units_max)}</dd>
        <dt>Quantity of one order at most</dt>
        <dd class="num">{inBase(risk.quantity_lots_max)}</dd>
        <dt>Dead man's switch</dt>
        <dd class="num">{risk.countdown_ns ? `cancels at ${moment(risk.countdown_ns)}` : "not set"}</dd>
      </dl>
    </Panel>
  );
}

const SCOPES: readonly (readonly [HaltScope, string])[] = [
  ["instrument", "An instrument"],
  ["account", "An account"],
  ["firm", "A firm"],
  ["everything", "Everything"],
];

function Switches(props: { risk: RiskState | null; again: () => void }): JSX.Element {
  const scope = useSignal<HaltScope>("instrument");
  const target = useSignal("");
  const named = scope.value === "instrument" ? target.value || instruments.value[0]?.symbol || "" : target.value;
  const ready = isAdmin.value && (scope.value === "everything" || named.trim() !== "");

  const flip = (action: HaltAction): void => {
    const what =
      scope.value === "everything" ? "everything" : scope.value === "instrument" ? named : `${scope.value} ${named}`;
    ask({
      title: `${action === "resume" ? "Resume" : "Halt"} ${what}`,
      effects: effectsOf(action, scope.value, named),
      action: action === "resume" ? `Resume ${what}` : action === "halt" ? `Halt ${what}` : `Halt ${what} and cancel`,
      danger: action !== "resume",
      reason: true,
      ...(scope.value === "everything" && action !== "resume" ? { phrase: "everything" } : {}),
      act: async (reason) => {
        const all = scope.value === "everything";
        const body = { scope: scope.value, target: all ? null : named, action, reason };
        await call(
          "POST",
          "/controls/halt",
          {},
          all && action !== "resume" ? { ...body, confirm: "everything" } : body,
        );
        toast(action === "resume" ? "done" : "note", `${what}: ${words(action)} done`, reason);
        props.again();
      },
    });
  };

  return (
    <Panel title="Kill switches" class="switches">
      <div class="pad stack">
        {props.risk && (
          <>
            <div class="switch-row">
              <div>
                <strong>Own orders</strong>
                <p class="hint">Cancels every open order of account {session.value?.account}; positions stay.</p>
              </div>
              <button
                type="button"
                id="cancel-all"
                class="danger"
                disabled={!mayCancel.value || openOrders.value.length === 0}
                onClick={askCancelAll}
              >
                Cancel all ({openOrders.value.length})
              </button>
            </div>
            <Countdown risk={props.risk} again={props.again} />
            <hr />
          </>
        )}
        <div>
          <strong>Halt trading</strong>
          {!isAdmin.value && (
            <p class="hint">
              Needs a key with the right admin; this one has {session.value?.permissions.join(", ") || "none"}.
            </p>
          )}
        </div>
        <div class="halt-form">
          <label class="field">
            <span>What</span>
            <select
              id="halt-scope"
              disabled={!isAdmin.value}
              value={scope.value}
              onChange={(event) => {
                scope.value = event.currentTarget.value as HaltScope;
                target.value = "";
              }}
            >
              {SCOPES.map(([value, name]) => (
                <option key={value} value={value}>
                  {name}
                </option>
              ))}
            </select>
          </label>
          {scope.value === "instrument" ? (
            <label class="field">
              <span>Which</span>
              <select
                id="halt-target"
                disabled={!isAdmin.value}
                value={named}
                onChange={(event) => (target.value = event.currentTarget.value)}
              >
                {instruments.value.map((one) => (
                  <option key={one.name} value={one.symbol}>
                    {one.symbol}
                  </option>
                ))}
              </select>
            </label>
          ) : scope.value !== "everything" ? (
            <label class="field">
              <span>Number</span>
              <input
                id="halt-target"
                inputMode="numeric"
                disabled={!isAdmin.value}
                value={target.value}
                onInput={(event) => (target.value = event.currentTarget.value)}
              />
            </label>
          ) : null}
        </div>
        <div class="buttons">
          <button type="button" id="halt" class="danger" disabled={!ready} onClick={() => flip("halt")}>
            Halt…
          </button>
          <button
            type="button"
            id="halt-and-cancel"
            class="danger"
            disabled={!ready}
            onClick={() => flip("halt_and_cancel")}
          >
            Halt and cancel orders…
          </button>
          <button type="button" id="resume" disabled={!ready} onClick={() => flip("resume")}>
            Resume…
          </button>
        </div>
      </div>
    </Panel>
  );
}

function effectsOf(action: HaltAction, scope: HaltScope, target: string): string[] {
  const where =
    scope === "everything"
      ? "of every account in every instrument"
      : scope === "instrument"
        ? `of every account in ${target}`
        : `of ${scope} ${target}`;
  if (action === "resume")
    return [
      `Orders ${where} are taken again.`,
      scope === "instrument"
        ? "What is in the book trades again at once; orders whose trigger was reached may fire."
        : "What other halts hold back stays held back.",
    ];
  return [
    `New orders and amendments ${where} are refused from now on, until somebody resumes.`,
    action === "halt_and_cancel"
      ? `All open orders ${where} are cancelled.`
      : "Open orders stay where they are; they can be cancelled.",
    "Positions and balances stay as they are. It is written to the journal and to the audit trail.",
  ];
}

const COUNTDOWNS = [
  ["10000", "10 s"],
  ["60000", "1 min"],
  ["600000", "10 min"],
] as const;

function Countdown(props: { risk: RiskState; again: () => void }): JSX.Element {
  const set = async (timeout: number): Promise<void> => {
    try {
      await call("POST", "/controls/countdown", {}, { timeout_ms: timeout });
      toast("note", timeout ? "Dead man's switch set" : "Dead man's switch off");
      props.again();
    } catch (error) {
      refused("The dead man's switch was not set", error);
    }
  };
  return (
    <div class="switch-row">
      <div>
        <strong>Dead man's switch</strong>
        <p class="hint">
          {props.risk.countdown_ns
            ? `Cancels the account's orders at ${moment(props.risk.countdown_ns)} unless it is set anew.`
            : "Cancels the account's orders when it is not set anew in time."}
        </p>
      </div>
      <div class="buttons">
        {COUNTDOWNS.map(([value, name]) => (
          <button
            type="button"
            key={value}
            class="small"
            disabled={!mayCancel.value}
            onClick={() => void set(Number(value))}
          >
            {name}
          </button>
        ))}
        <button
          type="button"
          class="small"
          disabled={!mayCancel.value || !props.risk.countdown_ns}
          onClick={() => void set(0)}
        >
          Off
        </button>
      </div>
    </div>
  );
}

const ppm = (value: number): string => (value === 0 ? "off" : `±${shown({ units: BigInt(value), scale: 4 }, 2)} %`);

function Breakers(props: { rows: BreakerRow[] }): JSX.Element {
  return (
    <Panel title="Circuit breakers" class="span-all">
      {props.rows.length === 0 ? (
        <Empty title="No instruments" />
      ) : (
        <div class="scroll">
          <table class="rows" id="breakers">
            <thead>
              <tr>
                <th>Symbol</th>
                <th>State</th>
                <th class="right">Reference price</th>
                <th class="right">Collar</th>
                <th class="right">Band</th>
                <th class="right">Level 1</th>
                <th class="right">Level 2</th>
                <th class="right">Level 3</th>
                <th class="right">Static price</th>
              </tr>
            </thead>
            <tbody>
              {props.rows.map((one) => {
                const digits = bySymbol.value.get(one.symbol)?.price_decimals;
                const level = (size: number, ms: number): string =>
                  size === 0 ? "off" : `${ppm(size)}, ${ms ? span(ms * 1e6) : "halts"}`;
                return (
                  <tr key={one.symbol} data-symbol={one.symbol}>
                    <td data-label="Symbol">{one.symbol}</td>
                    <td data-label="State">
                      <Badge name={one.state}>
                        {words(one.state)}
                        {one.auction_ends_ns ? ` until ${moment(one.auction_ends_ns)}` : ""}
                      </Badge>
                    </td>
                    <td data-label="Reference" class="right num">
                      {one.reference_price === null ? "–" : shown(decimal(one.reference_price), digits)}
                    </td>
                    <td data-label="Collar" class="right num">
                      {ppm(one.collar_ppm)}
                    </td>
                    <td data-label="Band" class="right num">
                      {level(one.breaker.band_ppm, one.breaker.band_ms)}
                    </td>
                    <td data-label="Level 1" class="right num">
                      {level(one.breaker.level1_ppm, one.breaker.level1_ms)}
                    </td>
                    <td data-label="Level 2" class="right num">
                      {level(one.breaker.level2_ppm, one.breaker.level2_ms)}
                    </td>
                    <td data-label="Level 3" class="right num">
                      {level(one.breaker.level3_ppm, one.breaker.level3_ms)}
                    </td>
                    <td data-label="Static price" class="right num">
                      {one.breaker.static_price === null ? "–" : shown(decimal(one.breaker.static_price), digits)}
                    </td>
                  </tr>
                );
              })}
            </tbody>
          </table>
        </div>
      )}
    </Panel>
  );
}

/** Alerts are in the database: where there is none there is nothing to ask for. */
async function alertsIfKept(): Promise<{ kept: boolean; items: Alert[] }> {
  const health = await get<Health>("/health");
  if (health.parts.some((part) => part.name === "database" && part.status === "off")) return { kept: false, items: [] };
  const { items } = await get<Page<Alert>>("/risk/alerts", { limit: 20 });
  return { kept: true, items };
}

function Alerts(): JSX.Element {
  const alerts = useFetched(alertsIfKept, 5_000, []);
  const found = alerts.data.value;
  const items = found?.items;
  return (
    <Panel title="Alerts" class="span-all">
      {!items ? (
        alerts.error.value ? (
          <Failed what="Alerts could not be read" error={alerts.error.value} again={alerts.reload} />
        ) : (
          <Loading />
        )
      ) : found?.kept === false ? (
        <Empty title="No alerts are kept">They are in the database, and this gateway has none.</Empty>
      ) : items.length === 0 ? (
        <Empty title="No alerts">A limit that is reached, or nearly, is told of here.</Empty>
      ) : (
        <ul class="alerts">
          {items.map((alert) => (
            <li key={alert.alert_id}>
              <span class="num faint">{moment(alert.time_ns)}</span>
              <strong>{words(alert.code)}</strong>
              <span>{alert.text}</span>
            </li>
          ))}
        </ul>
      )}
    </Panel>
  );
}
