/** Who is logged in. Market data needs nobody; everything of an account needs a session. */
import { computed, signal } from "@preact/signals";
import * as api from "../net/api";
import type { SessionInfo } from "../net/types";

export const session = signal<SessionInfo | null>(null);
/** Has the gateway said whether there is a session? Until then neither the form nor the account is shown. */
export const sessionKnown = signal(false);

export const isAdmin = computed(() => session.value?.permissions.includes("admin") ?? false);
/** An operator's key may belong to no account. */
export const hasAccount = computed(() => (session.value?.account ?? 0) > 0);
export const mayTrade = computed(() => hasAccount.value && (session.value?.permissions.includes("trade") ?? false));
export const mayCancel = computed(() => hasAccount.value && (session.value?.permissions.includes("cancel") ?? false));

// Scripts cannot see the cookie; whether it is worth asking about is remembered beside it.
const KEY = "ironbook.session";

function set(now: SessionInfo | null): void {
  if (now) localStorage.setItem(KEY, "yes");
  else localStorage.removeItem(KEY);
  session.value = now;
  sessionKnown.value = true;
}

// A call that is refused may be beyond this key's rights; whether the session itself has ended is asked for.
api.whenUnauthorized(() => void restore());

/** Asks until the gateway says: while it is away nothing is known. */
export async function restore(): Promise<void> {
  if (!localStorage.getItem(KEY)) {
    set(null);
    return;
  }
  for (;;) {
    try {
      set(await api.get<SessionInfo>("/session"));
    } catch (error) {
      if (error instanceof api.Failure && error.away) {
        await new Promise((done) => setTimeout(done, 1_500));
        continue;
      }
      set(null);
    }
    return;
  }
}

/** What a session is for, and the rights it asks for; it never has more than its key. */
export const USES = {
  trade: { name: "Trading", rights: ["read", "trade", "cancel"] },
  watch: { name: "Watching", rights: ["read"] },
  admin: { name: "Trading and administration", rights: ["read", "trade", "cancel", "admin"] },
} as const;
export type Use = keyof typeof USES;

export async function logIn(keyId: string, secret: string, use: Use): Promise<void> {
  set(await api.logIn(keyId, secret, USES[use].rights));
}

export async function logOut(): Promise<void> {
  try {
    await api.call("DELETE", "/session");
  } finally {
    set(null);
  }
}
