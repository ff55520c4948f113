/** Log in by an API key. The secret signs one request here in the browser; neither it nor a copy leaves the page. */
import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { canSign } from "../net/sign";
import { go } from "../state/route";
import { logIn, logOut, session, USES, type Use } from "../state/session";
import { told } from "../state/toasts";
import { Panel } from "../components/parts";

export function Login(): JSX.Element {
  const key = useSignal("");
  const secret = useSignal("");
  const use = useSignal<Use>("trade");
  const busy = useSignal(false);
  const failure = useSignal("");
  if (session.value)
    return (
      <div class="narrow">
        <Panel title="Logged in">
          <div class="pad">
            <p>
              As <strong>{session.value.key_id}</strong>, account {session.value.account}, with the rights{" "}
              {session.value.permissions.join(", ") || "none"}.
            </p>
            <div class="dialog-foot">
              <button type="button" id="log-out" onClick={() => void logOut()}>
                Log out
              </button>
              <a class="button primary" href="/">
                To the market
              </a>
            </div>
          </div>
        </Panel>
      </div>
    );

  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    if (busy.value) return;
    failure.value = "";
    if (!key.value.trim() || !secret.value.trim()) {
      failure.value = "Key id and secret must both be given.";
      return;
    }
    busy.value = true;
    try {
      await logIn(key.value.trim(), secret.value.trim(), use.value);
      secret.value = "";
      go("/");
    } catch (error) {
      failure.value = told(error);
    } finally {
      busy.value = false;
    }
  };

  return (
    <div class="narrow">
      <Panel title="Log in">
        <form class="pad" onSubmit={(event) => void submit(event)} noValidate>
          {!canSign() && (
            <p class="notice warn" role="alert">
              This page was not opened over TLS, so the browser gives it no cryptography and a login cannot be signed.
              Open it by https://, or on the gateway's own machine as http://127.0.0.1.
            </p>
          )}
          <label class="field">
            <span>Key id</span>
            <input
              id="key-id"
              name="username"
              autoComplete="username"
              autoFocus
              spellcheck={false}
              value={key.value}
              onInput={(event) => (key.value = event.currentTarget.value)}
            />
          </label>
          <label class="field">
            <span>Secret</span>
            <input
              id="key-secret"
              type="password"
              autoComplete="off"
              spellcheck={false}
              value={secret.value}
              onInput={(event) => (secret.value = event.currentTarget.value)}
            />
          </label>
          <label class="field">
            <span>For</span>
            <select
              id="session-use"
              value={use.value}
              onChange={(event) => (use.value = event.currentTarget.value as Use)}
            >
              {Object.entries(USES).map(([name, { name: shown }]) => (
                <option key={name} value={name}>
                  {shown}
                </option>
              ))}
            </select>
          </label>
          {failure.value && (
            <p class="fault" role="alert" id="login-fault">
              {failure.value}
            </p>
          )}
          <button type="submit" id="log-in" class="primary wide-button" disabled={busy.value || !canSign()}>
            {busy.value ? "Signing…" : "Log in"}
          </button>
          <p class="hint">
            The secret signs one request in this browser and is then forgotten: it is not sent and not stored. What
            stays is a cookie that scripts cannot read, with the rights chosen here as far as the key has them, until it
            ends or you log out.
          </p>
        </form>
      </Panel>
    </div>
  );
}
