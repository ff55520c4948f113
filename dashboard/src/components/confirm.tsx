/** Asks before what cannot be undone, and names what it will do. */
import { signal, useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { cancelAll, openHere, openOrders } from "../state/account";
import { instrument } from "../state/market";
import { told } from "../state/toasts";
import { Dialog } from "./parts";

export interface Question {
  title: string;
  /** What will happen, one sentence each. */
  effects: string[];
  action: string;
  danger: boolean;
  /** To be typed before it is done; for what stops everybody. */
  phrase?: string;
  /** Is a reason asked for? It goes into the audit trail. */
  reason?: boolean;
  act: (reason: string) => Promise<void>;
}

const question = signal<Question | null>(null);

export function ask(what: Question): void {
  question.value = what;
}

export function askCancelAll(): void {
  const here = instrument.value;
  const [all, some] = [openOrders.value.length, openHere.value.length];
  ask({
    title: "Cancel all open orders",
    effects: [
      `${all} open ${all === 1 ? "order is" : "orders are"} cancelled, in every instrument${here ? `; ${some} of them in ${here.symbol}` : ""}.`,
      "Orders that wait for a trigger are cancelled too. Positions stay as they are.",
    ],
    action: `Cancel ${all} ${all === 1 ? "order" : "orders"}`,
    danger: true,
    act: () => cancelAll(),
  });
}

export function Confirm(): JSX.Element | null {
  const now = question.value;
  return now ? <Asked key={now.title} question={now} /> : null;
}

function Asked(props: { question: Question }): JSX.Element {
  const { question: now } = props;
  const typed = useSignal("");
  const reason = useSignal("");
  const busy = useSignal(false);
  const failure = useSignal("");
  const ready =
    !busy.value &&
    (!now.phrase || typed.value.trim() === now.phrase) &&
    (!now.reason || reason.value.trim().length > 0);
  const close = (): void => {
    question.value = null;
  };
  const act = async (event: Event): Promise<void> => {
    event.preventDefault();
    if (!ready) return;
    busy.value = true;
    failure.value = "";
    try {
      await now.act(reason.value.trim());
      close();
    } catch (error) {
      failure.value = told(error);
      busy.value = false;
    }
  };
  return (
    <Dialog title={now.title} onClose={close} class={now.danger ? "danger" : ""}>
      <form onSubmit={(event) => void act(event)}>
        <p class="dialog-lead">This will happen at once:</p>
        <ul class="effects">
          {now.effects.map((effect) => (
            <li key={effect}>{effect}</li>
          ))}
        </ul>
        {now.reason && (
          <label class="field">
            <span>Reason, for the audit trail</span>
            <input
              id="confirm-reason"
              maxLength={120}
              value={reason.value}
              onInput={(event) => (reason.value = event.currentTarget.value)}
            />
          </label>
        )}
        {now.phrase && (
          <label class="field">
            <span>
              Type <strong>{now.phrase}</strong> to go on
            </span>
            <input
              id="confirm-phrase"
              autoComplete="off"
              value={typed.value}
              onInput={(event) => (typed.value = event.currentTarget.value)}
            />
          </label>
        )}
        {failure.value && (
          <p class="fault" role="alert">
            {failure.value}
          </p>
        )}
        <div class="dialog-foot">
          <button type="button" onClick={close}>
            Leave it
          </button>
          <button type="submit" id="confirm-act" class={now.danger ? "danger" : "primary"} disabled={!ready}>
            {busy.value ? "Working…" : now.action}
          </button>
        </div>
      </form>
    </Dialog>
  );
}
