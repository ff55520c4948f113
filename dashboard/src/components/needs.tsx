/** Pages of an account show where to log in when nobody is. */
import type { ComponentChildren, JSX } from "preact";
import { hasAccount, session, sessionKnown } from "../state/session";
import { Empty, Loading } from "./parts";

export function NeedsLogin(props: { what: string; operator?: boolean; children: ComponentChildren }): JSX.Element {
  if (!sessionKnown.value) return <Loading what="Asking who is logged in" />;
  if (hasAccount.value || (session.value && props.operator)) return <>{props.children}</>;
  if (session.value)
    return (
      <div class="narrow">
        <Empty title="This key belongs to no account">
          {session.value.key_id} is an operator's key: it has no {props.what}.
        </Empty>
      </div>
    );
  return (
    <div class="narrow">
      <div class="empty">
        <p class="empty-title">Not logged in</p>
        <p>Log in with an API key to see {props.what}.</p>
        <a class="button primary" href="/login">
          Log in
        </a>
      </div>
    </div>
  );
}
