/** Calls of the gateway. The session cookie says who calls; each call that changes something carries a fresh nonce. */
import { nonce, sign } from "./sign";
import type { KlineRow, MarketTrade, SessionInfo, Ticker } from "./types";
import type { Snapshot } from "../lib/book";

const TIMEOUT_MS = 10_000;

/** A call that was refused or did not get through, as a person can read it. */
export class Failure extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly detail = "",
    readonly hint = "",
    readonly requestId = "",
  ) {
    super(message);
  }

  /** Did it not reach the gateway at all, or came no answer? */
  get away(): boolean {
    return this.status === 0 || this.status === 502 || this.status === 503 || this.status === 504;
  }
}

let onUnauthorized: () => void = () => undefined;

/** What to do when a session has ended. */
export function whenUnauthorized(act: () => void): void {
  onUnauthorized = act;
}

type Parameters = Record<string, string | number | boolean | null | undefined>;

function query(parameters: Parameters): string {
  const pairs = Object.entries(parameters).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const text = new URLSearchParams(pairs.map(([name, value]) => [name, String(value)])).toString();
  return text ? `?${text}` : "";
}

async function send(path: string, init: RequestInit): Promise<unknown> {
  let response: Response;
  try {
    response = await fetch(path, { ...init, credentials: "same-origin", signal: AbortSignal.timeout(TIMEOUT_MS) });
  } catch (error) {
    const late = error instanceof DOMException && error.name === "TimeoutError";
    throw late
      ? new Failure(
          0,
          "no_answer",
          "The gateway did not answer in time.",
          "",
          "Look whether the call took effect before you repeat it.",
        )
      : new Failure(
          0,
          "unreachable",
          "The gateway cannot be reached.",
          "",
          "It is tried again by itself as soon as it answers.",
        );
  }
  const body = await response.text();
  let parsed: unknown = null;
  try {
    parsed = body ? JSON.parse(body) : null;
  } catch {
    throw new Failure(
      response.status,
      "unreadable",
      `The gateway's answer could not be read (status ${response.status}).`,
    );
  }
  if (response.ok) return parsed;
  throw failure(response, parsed);
}

function failure(response: Response, parsed: unknown): Failure {
  const id = response.headers.get("X-Request-Id") ?? "";
  const told = (parsed ?? {}) as { error?: Record<string, unknown>; code?: number; msg?: string };
  if (told.error) {
    const { code, message, detail, hint } = told.error;
    return new Failure(response.status, String(code), String(message), String(detail ?? ""), String(hint ?? ""), id);
  }
  return new Failure(
    response.status,
    String(told.code ?? response.status),
    told.msg ?? `Status ${response.status}.`,
    "",
    "",
    id,
  );
}

/** A call under /api/v1 as the one who is logged in. */
export async function call<T>(method: string, path: string, parameters: Parameters = {}, body?: unknown): Promise<T> {
  const headers: Record<string, string> = { Accept: "application/json" };
  if (method !== "GET") headers["X-Ironbook-Request"] = nonce();
  const init: RequestInit = { method, headers };
  if (body !== undefined) {
    headers["Content-Type"] = "application/json";
    init.body = JSON.stringify(body);
  }
  try {
    return (await send(`/api/v1${path}${query(parameters)}`, init)) as T;
  } catch (error) {
    if (error instanceof Failure && error.status === 401 && path !== "/session") onUnauthorized();
    throw error;
  }
}

export const get = <T>(path: string, parameters: Parameters = {}): Promise<T> => call<T>("GET", path, parameters);

/** Makes a session with at most these rights. The browser keeps its cookie, unseen by scripts; the secret ends here. */
export async function logIn(keyId: string, secret: string, rights: readonly string[]): Promise<SessionInfo> {
  const server = (await send("/api/v3/time", { method: "GET" })) as { serverTime: number };
  const parameters = `timestamp=${server.serverTime}&recvWindow=10000`;
  const body = JSON.stringify({ rights });
  const signature = await sign(secret, `POST /api/v1/session?${parameters}${body}`);
  return (await send(`/api/v1/session?${parameters}&signature=${signature}`, {
    method: "POST",
    headers: { "X-MBX-APIKEY": keyId, "Content-Type": "application/json", Accept: "application/json" },
    body,
  })) as SessionInfo;
}

// Market data, open to anybody.
const market = (path: string, parameters: Parameters): Promise<unknown> =>
  send(`/api/v3/${path}${query(parameters)}`, { method: "GET" });

export const depth = (symbol: string): Promise<Snapshot> =>
  market("depth", { symbol, limit: 1000 }) as Promise<Snapshot>;
export const trades = (symbol: string): Promise<MarketTrade[]> =>
  market("trades", { symbol, limit: 100 }) as Promise<MarketTrade[]>;
export const klines = (symbol: string, interval: string): Promise<KlineRow[]> =>
  market("klines", { symbol, interval, limit: 500 }) as Promise<KlineRow[]>;
export const tickers = (): Promise<Ticker[]> => market("ticker/24hr", {}) as Promise<Ticker[]>;

/** The text of /metrics, or of anything else that is not JSON. */
export async function plain(path: string): Promise<string> {
  const response = await fetch(path, { credentials: "same-origin", signal: AbortSignal.timeout(TIMEOUT_MS) });
  if (!response.ok) throw new Failure(response.status, "status", `${path} answered ${response.status}.`);
  return response.text();
}
