/** The frame around all pages: navigation, state of the connections, who is logged in, help. */
import { effect, signal, useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import { Confirm } from "./components/confirm";
import { Help, helpOpen } from "./components/help";
import { Empty, Toasts } from "./components/parts";
import { Analytics } from "./pages/analytics";
import { Executions } from "./pages/executions";
import { Login } from "./pages/login";
import { Monitoring } from "./pages/monitoring";
import { Positions } from "./pages/positions";
import { Risk } from "./pages/risk";
import { Trade } from "./pages/trade";
import { link } from "./state/account";
import { shown } from "./lib/decimal";
import { instrument, lastPrice, marketLink } from "./state/market";
import { path } from "./state/route";
import { session, sessionKnown } from "./state/session";
import { dark, toggleTheme } from "./state/theme";

export const PAGES = [
  [
    "/",
    "Trade",
    "M4 17V9m0-3V4m4 16v-4m0-8V5m-1 3h2v8H7zM3 9h2v5H3zm9 3v-2m0 8v2m-1-8h2v6h-2zm5-8v2m0 6v3m-1-9h2v6h-2z",
    Trade,
  ],
  ["/positions", "Positions", "M4 20V10h4v10m2 0V4h4v16m2 0v-7h4v7", Positions],
  ["/executions", "Executions", "M4 6h16M4 12h16M4 18h10", Executions],
  ["/analytics", "Analytics", "M4 19l5-7 4 4 7-11", Analytics],
  ["/risk", "Risk", "M12 3l8 3v6c0 5-4 8-8 9-4-1-8-4-8-9V6z", Risk],
  ["/monitoring", "Monitor", "M3 12h4l3-8 4 16 3-8h4", Monitoring],
] as const;

const now = signal(Date.now());
setInterval(() => (now.value = Date.now()), 500);

effect(() => {
  const page = PAGES.find(([to]) => to === path.value);
  const price =
    path.value === "/" && lastPrice.value && instrument.value
      ? `${shown(lastPrice.value)} ${instrument.value.symbol} · `
      : "";
  document.title = `${price}${page && path.value !== "/" ? `${page[1]} · ` : ""}Ironbook`;
});

export function App(): JSX.Element {
  const Page = PAGES.find(([to]) => to === path.value)?.[3];
  return (
    <>
      <a class="skip" href="#main" data-plain>
        To the content
      </a>
      <header class="top">
        <a class="brand" href="/" aria-label="Ironbook, to the market">
          <svg viewBox="0 0 32 32" aria-hidden="true">
            <g fill="none" stroke-linecap="round" stroke-width="3.4">
              <path class="brand-buy" d="M5 9h9M5 16h13M5 23h6" />
              <path class="brand-sell" d="M19 9h8M23 16h4M16 23h11" />
            </g>
          </svg>
          <span>Ironbook</span>
        </a>
        <nav class="pages" aria-label="Pages">
          {PAGES.map(([to, name, icon], index) => (
            <a
              key={to}
              href={to}
              aria-current={path.value === to ? "page" : undefined}
              title={`${name} (${index + 1})`}
            >
              <svg viewBox="0 0 24 24" aria-hidden="true">
                <path d={icon} />
              </svg>
              <span>{name}</span>
            </a>
          ))}
        </nav>
        <div class="top-right">
          <Connection />
          <a class="quiet-link api" href="/docs" data-plain>
            API
          </a>
          <button
            type="button"
            class="quiet icon"
            id="theme"
            aria-label={dark.value ? "Light colours" : "Dark colours"}
            title="Light or dark (T)"
            onClick={toggleTheme}
          >
            <svg viewBox="0 0 24 24" aria-hidden="true">
              <path
                d={
                  dark.value
                    ? "M12 5V2m0 20v-3m7-7h3M2 12h3m12-5 2-2M5 19l2-2m10 0 2 2M5 5l2 2m5 1a4 4 0 100 8 4 4 0 000-8"
                    : "M20 14A8.5 8.5 0 0110 4a8.5 8.5 0 1010 10z"
                }
              />
            </svg>
          </button>
          <button
            type="button"
            class="quiet icon help-button"
            id="help"
            aria-label="Help and keys"
            title="Help and keys (?)"
            onClick={() => (helpOpen.value = true)}
          >
            ?
          </button>
          <Who />
        </div>
      </header>
      <Lost />
      <main id="main" tabIndex={-1}>
        {path.value === "/login" ? (
          <Login />
        ) : Page ? (
          <Page />
        ) : (
          <Empty title="There is no such page">
            <a href="/">To the market</a>
          </Empty>
        )}
      </main>
      <Toasts />
      <Confirm />
      <Help />
    </>
  );
}

function Who(): JSX.Element | null {
  if (!sessionKnown.value) return null;
  const who = session.value;
  return who ? (
    <a class="who" href="/login" id="who" title={`Account ${who.account}`}>
      {who.key_id}
    </a>
  ) : (
    <a class="button primary small" href="/login" id="to-login">
      Log in
    </a>
  );
}

/** Both connections as one word: the worse of the two. */
function Connection(): JSX.Element {
  const links = session.value ? [marketLink, link] : [marketLink];
  const waiting = links.some(
    (one) => one.state.value === "waiting" || (one.state.value === "connecting" && one.drops.value > 0),
  );
  const connecting = links.some((one) => one.state.value === "connecting" || one.state.value === "idle");
  const stale = links.some((one) => one.stale.value);
  const state = waiting ? "lost" : connecting ? "connecting" : stale ? "stale" : "live";
  const latency = marketLink.latencyMs.value;
  const text = { lost: "Reconnecting", connecting: "Connecting", stale: "No answer", live: "Live" }[state];
  return (
    <span class={`connection ${state}`} id="connection" data-state={state} role="status">
      <span aria-hidden="true">{{ lost: "■", connecting: "○", stale: "◐", live: "●" }[state]}</span> {text}
      {state === "live" && latency !== null && (
        <span class="muted num latency"> {latency < 10 ? latency.toFixed(1) : Math.round(latency)} ms</span>
      )}
    </span>
  );
}

function Lost(): JSX.Element | null {
  const lost = [marketLink, link].filter(
    (one) => one.state.value === "waiting" || (one.state.value === "connecting" && one.drops.value > 0),
  );
  const since = useSignal(0);
  const any = lost.length > 0;
  useEffect(() => {
    since.value = any ? Date.now() : 0;
  }, [any]);
  if (!any) return null;
  const seconds = Math.max(0, Math.ceil((Math.min(...lost.map((one) => one.retryAt.value)) - now.value) / 1000));
  return (
    <div class="lost" role="alert" id="lost">
      <strong>■ The gateway cannot be reached.</strong> What is shown is as of{" "}
      {since.value ? new Date(since.value).toLocaleTimeString("en-GB") : "now"}.{" "}
      {seconds > 0 ? `Next try in ${seconds} s.` : "Trying now."}
      <button type="button" class="small" onClick={() => lost.forEach((one) => one.now())}>
        Try now
      </button>
    </div>
  );
}
