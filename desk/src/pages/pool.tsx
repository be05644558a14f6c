// What waits to be mined, and why.

import { useEffect } from "preact/hooks";
import { useLoad, useTask } from "../lib/load";
import { count, number } from "../lib/units";
import type { Hex, TransactionJson } from "../rpc/types";
import { nodeAccounts } from "../signing/accounts";
import { call, subscribe } from "../state/node";
import { Account, Badge, Card, Doing, Ether, Gas, Gwei, Notice, Page, Show, Table, Tx, useSlices } from "../ui/parts";
import { useSigners } from "../ui/who";
import type { Explanation } from "./transaction";

interface Waiting {
  tx: TransactionJson;
  queued: boolean;
}

type BySender = Record<string, Record<string, TransactionJson>>;

const flat = (part: BySender, queued: boolean): Waiting[] =>
  Object.values(part).flatMap((byNonce) => Object.values(byNonce).map((tx) => ({ tx, queued })));

export const flatten = (content: { pending: BySender; queued: BySender }): Waiting[] => [...flat(content.pending, false), ...flat(content.queued, true)];

const priceOf = (tx: TransactionJson) => BigInt(tx.maxFeePerGas ?? tx.gasPrice ?? 0);

export default function Pool() {
  useSigners();
  const pool = useLoad(() => call<{ pending: BySender; queued: BySender }>("txpool_content").then(flatten), [], "live");
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const stop = subscribe<Hex>({ kind: "newPendingTransactions", item: () => (timer ??= setTimeout(() => ((timer = undefined), pool.reload()), 500)) });
    return () => {
      clearTimeout(timer);
      stop();
    };
  }, []);
  return (
    <Page title="Pool" lead="Transactions that wait to be mined, and why each does.">
      <Show of={pool} what="the pool">
        {(all) => (
          <>
            <dl class="figures">
              <div>
                <dt>Ready for a block</dt>
                <dd>{count(all.filter(({ queued }) => !queued).length)} tx</dd>
              </div>
              <div>
                <dt>Wait for an earlier nonce</dt>
                <dd>{count(all.filter(({ queued }) => queued).length)} tx</dd>
              </div>
              <div>
                <dt>Senders</dt>
                <dd>{count(new Set(all.map(({ tx }) => tx.from)).size)} accounts</dd>
              </div>
              <div>
                <dt>Gas in all</dt>
                <dd>{count(all.reduce((sum, { tx }) => sum + BigInt(tx.gas), 0n))} gas</dd>
              </div>
            </dl>
            <List all={all} reload={pool.reload} />
          </>
        )}
      </Show>
    </Page>
  );
}

function List({ all, reload }: { all: Waiting[]; reload(): void }) {
  const { rows, bar } = useSlices(all, 20);
  const key = rows.map(({ tx }) => tx.hash).join();
  const reasons = useLoad(async () => {
    const found = await Promise.all(rows.map(({ tx }) => call<Explanation>("txpool_explain", tx.hash).catch(() => null)));
    return new Map(rows.map(({ tx }, index) => [tx.hash, found[index] ?? null]));
  }, [key], "live");
  const task = useTask();
  const own = new Set(nodeAccounts.value.map(({ address }) => address));
  const act = (method: string, hash: Hex) =>
    task.run(async (say) => {
      say("Asking the node …");
      await call(method, hash);
      reload();
    });
  return (
    <Card title="Transactions">
      <Doing task={task} />
      <Table
        caption="Transactions in the pool"
        rows={rows}
        keyOf={({ tx }) => tx.hash}
        empty="The pool is empty: every transaction was mined."
        columns={[
          { name: "Transaction", cell: ({ tx }) => <Tx hash={tx.hash} /> },
          { name: "From", cell: ({ tx }) => <Account at={tx.from} /> },
          { name: "Nonce", cell: ({ tx }) => <span class="number">{count(number(tx.nonce))}</span>, right: true },
          { name: "Value", cell: ({ tx }) => <Ether wei={BigInt(tx.value)} />, right: true, spare: true },
          { name: "Gas limit", cell: ({ tx }) => <Gas used={BigInt(tx.gas)} />, right: true, spare: true },
          { name: "Pays at most", cell: ({ tx }) => <><Gwei wei={priceOf(tx)} /> per gas</>, right: true, spare: true },
          { name: "Why it waits", cell: ({ tx, queued }) => <Why explanation={reasons.data?.get(tx.hash)} queued={queued} /> },
          {
            name: "Repair",
            cell: ({ tx }) =>
              own.has(tx.from.toLowerCase() as Hex) ? (
                <span class="actions">
                  <button type="button" class="small" disabled={task.running} onClick={() => act("txpool_resend", tx.hash)} aria-label={`Send ${tx.hash} again at a higher price`}>
                    Pay more
                  </button>
                  <button type="button" class="small danger" disabled={task.running} onClick={() => act("txpool_cancel", tx.hash)} aria-label={`Cancel ${tx.hash}`}>
                    Cancel
                  </button>
                </span>
              ) : (
                <span class="muted">by its sender</span>
              ),
            spare: true,
          },
        ]}
      />
      {bar}
      {all.length > 0 && <Notice>A transaction can be replaced by its sender: the same nonce again, at a price 10 % higher.</Notice>}
    </Card>
  );
}

function Why({ explanation, queued }: { explanation: Explanation | null | undefined; queued: boolean }) {
  if (!explanation) return queued ? <Badge kind="warn">an earlier nonce is missing</Badge> : <Badge>ready</Badge>;
  if (explanation.status === "ready") return <Badge kind="good">ready: the next blocks take it</Badge>;
  const reasons = explanation.reasons?.map(({ text }) => text) ?? (explanation.reason ? [explanation.reason] : []);
  return <span class="why">{reasons.join("; ") || explanation.status}</span>;
}
