/** Every fill of the account, newest first, as far back as is kept. */
import { useComputed, useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import type { JSX } from "preact";
import { NeedsLogin } from "../components/needs";
import { Empty, Failed, Loading, Panel } from "../components/parts";
import { FillTable } from "../components/rows";
import { get } from "../net/api";
import type { Execution, Page } from "../net/types";
import { fills } from "../state/account";
import { instruments } from "../state/market";

const PAGE = 100;

export function Executions(): JSX.Element {
  return (
    <NeedsLogin what="executions">
      <Content />
    </NeedsLogin>
  );
}

const keyOf = (fill: Execution): string => `${fill.sequence}.${fill.n}`;

function Content(): JSX.Element {
  const of = useSignal("");
  const older = useSignal<Execution[]>([]);
  const next = useSignal<string | null>(null);
  const error = useSignal<unknown>(null);
  const busy = useSignal(false);
  const known = useSignal(false);

  const load = async (after: string | null): Promise<void> => {
    const mine = of.value;
    busy.value = true;
    try {
      const page = await get<Page<Execution>>("/executions", { symbol: mine, limit: PAGE, after });
      if (mine !== of.value) return;
      older.value = after ? [...older.value, ...page.items] : page.items;
      next.value = page.next;
      error.value = null;
      known.value = true;
    } catch (failure) {
      error.value = failure;
    } finally {
      busy.value = false;
    }
  };
  useEffect(() => {
    older.value = [];
    next.value = null;
    known.value = false;
    void load(null);
  }, [of.value]);

  // What the stream brought since stands on top of what was read.
  const rows = useComputed(() => {
    const seen = new Set(older.value.map(keyOf));
    const newest = older.value[0]?.sequence ?? 0;
    const fresh = fills.value.filter(
      (fill) => (!of.value || fill.symbol === of.value) && fill.sequence >= newest && !seen.has(keyOf(fill)),
    );
    return [...fresh, ...older.value];
  });

  return (
    <div class="page">
      <h1>Executions</h1>
      <Panel
        title="Fills"
        tools={
          <label class="inline">
            <span class="sr">Instrument</span>
            <select value={of.value} onChange={(event) => (of.value = event.currentTarget.value)}>
              <option value="">All instruments</option>
              {instruments.value.map((one) => (
                <option key={one.name} value={one.symbol}>
                  {one.symbol}
                </option>
              ))}
            </select>
          </label>
        }
      >
        {!known.value && error.value ? (
          <Failed what="Executions could not be read" error={error.value} again={() => void load(null)} />
        ) : !known.value ? (
          <Loading what="Reading executions" />
        ) : rows.value.length === 0 ? (
          <Empty title="No fills yet">
            {of.value ? `None in ${of.value}.` : "Every fill of the account will be listed here."}
          </Empty>
        ) : (
          <>
            <div class="scroll">
              <FillTable fills={rows.value} />
            </div>
            {Boolean(error.value) && <Failed what="Older ones could not be read" error={error.value} />}
            {next.value && (
              <div class="pad center">
                <button type="button" disabled={busy.value} onClick={() => void load(next.value)}>
                  {busy.value ? "Reading…" : "Older"}
                </button>
              </div>
            )}
          </>
        )}
      </Panel>
    </div>
  );
}
