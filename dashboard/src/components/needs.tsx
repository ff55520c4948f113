/** Pages of an account show where to log in when nobody is. */
import type { ComponentChildren, JSX } from "preact";
import { session, sessionKnown } from "../state/session";
import { Loading } from "./parts";

export function NeedsLogin(props: { what: string; children: ComponentChildren }): JSX.Element {
  if (!sessionKnown.value) return <Loading what="Asking who is logged in" />;
  if (session.value) return <>{props.children}</>;
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
