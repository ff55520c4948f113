/**
 * A WebSocket that comes back.
 *
 *     connecting ──open──▶ open ──silence beyond QUIET_MS──▶ open, stale ──still nothing──▶ closed by us
 *         ▲                  └────────lost────────┐                                             │
 *         └──────after backoff, or when the network returns, ── waiting ◀───────────────────────┘
 *
 * Silence in a quiet market is no sign of life, so the owner gives a question that the other side must answer: its round
 * trip is the latency that the page shows.
 */
import { signal } from "@preact/signals";
import { waitMs } from "../lib/backoff";

const PING_MS = 3_000;
const QUIET_MS = 7_000;
const LOST_MS = 15_000;

export type LinkState = "idle" | "connecting" | "open" | "waiting";

export interface Owner {
  opened(): void;
  received(message: unknown): void;
  lost(): void;
}

export class Link {
  readonly state = signal<LinkState>("idle");
  readonly stale = signal(false);
  readonly retryAt = signal(0);
  readonly latencyMs = signal<number | null>(null);
  readonly drops = signal(0);
  private socket: WebSocket | null = null;
  private attempt = 0;
  private timer = 0;
  private pulse = 0;
  private heardAt = 0;
  private askedAt = 0;
  private url = "";

  constructor(
    private readonly owner: Owner,
    private readonly question: (id: number) => unknown,
    private readonly isAnswer: (message: unknown) => boolean,
  ) {
    addEventListener("online", () => this.now());
    document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && this.now());
  }

  start(path: string): void {
    const url = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${path}`;
    if (this.url === url && this.state.value !== "idle") return;
    this.stop();
    this.url = url;
    this.attempt = 0;
    this.connect();
  }

  stop(): void {
    clearTimeout(this.timer);
    clearInterval(this.pulse);
    const socket = this.socket;
    this.socket = null;
    if (socket) socket.onopen = socket.onmessage = socket.onclose = null;
    socket?.close();
    this.state.value = "idle";
    this.stale.value = false;
    this.latencyMs.value = null;
  }

  send(message: unknown): void {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  /** Try at once instead of waiting for the backoff. */
  now(): void {
    if (this.state.value === "waiting") this.connect();
  }

  private connect(): void {
    clearTimeout(this.timer);
    this.state.value = "connecting";
    const socket = new WebSocket(this.url);
    this.socket = socket;
    this.heardAt = performance.now();
    this.pulse = window.setInterval(() => this.beat(), PING_MS);
    socket.onopen = () => {
      this.state.value = "open";
      this.heardAt = performance.now();
      this.owner.opened();
      this.ask();
    };
    socket.onmessage = (event: MessageEvent<string>) => {
      this.heardAt = performance.now();
      this.stale.value = false;
      this.attempt = 0;
      const message: unknown = JSON.parse(event.data);
      if (this.isAnswer(message)) this.latencyMs.value = performance.now() - this.askedAt;
      else this.owner.received(message);
    };
    socket.onclose = () => this.dropped();
  }

  private ask(): void {
    this.askedAt = performance.now();
    this.send(this.question(Math.floor(this.askedAt)));
  }

  private beat(): void {
    const silence = performance.now() - this.heardAt;
    if (silence > LOST_MS) {
      const socket = this.socket;
      if (socket) socket.onopen = socket.onmessage = socket.onclose = null;
      socket?.close();
      this.dropped();
      return;
    }
    this.stale.value = silence > QUIET_MS;
    if (this.state.value === "open") this.ask();
  }

  private dropped(): void {
    clearInterval(this.pulse);
    this.socket = null;
    const wait = waitMs(this.attempt, Math.random());
    this.attempt += 1;
    this.drops.value += 1;
    this.state.value = "waiting";
    this.stale.value = true;
    this.latencyMs.value = null;
    this.retryAt.value = Date.now() + wait;
    this.timer = window.setTimeout(() => this.connect(), wait);
    this.owner.lost();
  }
}
