// One transaction: where it stands, what it asked for, and what it did.

import { useState } from "preact/hooks";
import { decodeInput, decodeRevert } from "../chain/abi";
import { useLoad } from "../lib/load";
import { count, number } from "../lib/units";
import { InputError } from "../rpc/error";
import type { Hex, ReceiptJson, TransactionJson } from "../rpc/types";
import { call, head } from "../state/node";
import { Input, Log } from "../ui/decoded";
import { Account, Badge, BlockLink, Card, Copy, Ether, Facts, Gas, Gwei, Notice, Page, Show, useSlices } from "../ui/parts";

interface Trace {
  type: string;
  from: Hex;
  to?: Hex;
  value?: Hex;
  gas: Hex;
  gasUsed: Hex;
  input: Hex;
  output?: Hex;
  error?: string;
  revertReason?: string;
  calls?: Trace[];
}

export interface Explanation {
  status: "mined" | "ready" | "waiting" | "dropped" | "unknown";
  reason?: string;
  reasons?: { kind: string; text: string }[];
  behind?: Hex;
}

interface Found {
  tx: TransactionJson | null;
  receipt: ReceiptJson | null;
  explanation: Explanation | null;
}

async function find(hash: string): Promise<Found> {
  if (!/^0x[0-9a-f]{64}$/i.test(hash)) throw new InputError(`“${hash}” is no transaction hash.`, "A hash is 0x and 64 hexadecimal digits.");
  const [tx, receipt] = await Promise.all([call<TransactionJson | null>("eth_getTransactionByHash", hash), call<ReceiptJson | null>("eth_getTransactionReceipt", hash)]);
  const explanation = receipt ? null : await call<Explanation>("txpool_explain", hash).catch(() => null);
  return { tx, receipt, explanation };
}

export default function Transaction({ parts }: { parts: string[] }) {
  const hash = parts[0] ?? "";
  const found = useLoad(() => find(hash), [hash], "live");
  return (
    <Page title="Transaction" lead={<><code>{hash}</code> <Copy text={hash} what="the hash" /></>}>
      <Show of={found} what="the transaction">
        {(data) => (data.tx ? <Known {...data} tx={data.tx} /> : <Unknown {...data} />)}
      </Show>
    </Page>
  );
}

function Unknown({ explanation }: Found) {
  return explanation?.status === "dropped" ? (
    <Notice kind="warn">
      The pool dropped this transaction: {explanation.reason}. Nothing happened on the chain. Remove the cause and send it again.
    </Notice>
  ) : (
    <Notice kind="warn">
      The node knows neither a block nor a transaction with this hash. It may be of another network, or was dropped long ago. Check the hash, and that it was sent to this chain.
    </Notice>
  );
}

function Known({ tx, receipt, explanation }: Found & { tx: TransactionJson }) {
  const depth = receipt && head.value ? head.value.number - number(receipt.blockNumber) + 1 : 0;
  const failed = receipt !== null && receipt.status !== "0x1";
  return (
    <>
      {!receipt && explanation && <Waiting explanation={explanation} />}
      <Card title="What it is">
        <Facts
          rows={[
            ["State", receipt ? failed ? <Badge kind="bad">failed: reverted</Badge> : <Badge kind="good">done</Badge> : <Badge kind="warn">not mined yet</Badge>],
            receipt && ["Block", <><BlockLink at={number(receipt.blockNumber)} hash={receipt.blockHash} />, {count(Math.max(1, depth))} deep, place {count(number(receipt.transactionIndex))}</>],
            ["From", <Account at={tx.from} whole />],
            ["To", tx.to ? <Account at={tx.to} whole /> : receipt?.contractAddress ? <>new contract <Account at={receipt.contractAddress} whole /></> : "a new contract"],
            ["Value", <Ether wei={BigInt(tx.value)} />],
            receipt ? ["Gas", <Gas used={BigInt(receipt.gasUsed)} of={BigInt(tx.gas)} />] : ["Gas limit", <Gas used={BigInt(tx.gas)} />],
            receipt && ["Fee", <><Ether wei={BigInt(receipt.gasUsed) * BigInt(receipt.effectiveGasPrice)} /> at <Gwei wei={BigInt(receipt.effectiveGasPrice)} /> per gas</>],
            tx.maxFeePerGas ? ["Fee cap per gas", <Gwei wei={BigInt(tx.maxFeePerGas)} />] : tx.gasPrice ? ["Gas price", <Gwei wei={BigInt(tx.gasPrice)} />] : null,
            ["Nonce", count(number(tx.nonce))],
            ["Type", `${number(tx.type)}`],
          ]}
        />
      </Card>
      {tx.input !== "0x" && (
        <Card title="Input">
          <Input input={tx.input} to={tx.to} />
        </Card>
      )}
      {receipt && <Logs receipt={receipt} />}
      {receipt && <Calls key={receipt.blockHash} hash={tx.hash} failed={failed} />}
    </>
  );
}

export function Waiting({ explanation: { status, reasons, reason, behind } }: { explanation: Explanation }) {
  if (status === "ready") return <Notice>It is in the pool, and the next blocks take it{behind && number(behind) > 0 ? `, after ${count(number(behind))} others` : ""}.</Notice>;
  if (status === "mined" || status === "unknown") return null;
  return (
    <Notice kind="warn">
      <strong>{status === "dropped" ? "It was dropped." : "It waits in the pool."}</strong>
      <ul>{(reasons ?? (reason ? [{ kind: "dropped", text: reason }] : [])).map(({ kind, text }) => <li key={kind}>{text}</li>)}</ul>
    </Notice>
  );
}

function Logs({ receipt }: { receipt: ReceiptJson }) {
  const { rows, bar } = useSlices(receipt.logs, 20);
  return (
    <Card title={`Logs (${count(receipt.logs.length)})`}>
      {receipt.logs.length === 0 && <p class="empty">It wrote no logs.</p>}
      {rows.map((log) => (
        <Log key={log.logIndex} log={log} />
      ))}
      {bar}
    </Card>
  );
}

function Calls({ hash, failed }: { hash: string; failed: boolean }) {
  const [wanted, setWanted] = useState(failed);
  const trace = useLoad(() => (wanted ? call<Trace>("debug_traceTransaction", hash, { tracer: "callTracer" }) : Promise.resolve(null)), [hash, wanted]);
  return (
    <Card title={failed ? "Why it failed, and its calls" : "Calls"} note="What the contracts called, run again on the state of that block.">
      {!wanted ? (
        <p>
          <button type="button" onClick={() => setWanted(true)}>Trace the calls</button>
        </p>
      ) : (
        <Show of={trace} what="the calls: the node runs the transaction again">
          {(top) =>
            top && (
              <>
                {top.error && (
                  <div class="problem">
                    <p>
                      <strong>{top.revertReason ?? decodeRevert(top.output, top.to) ?? top.error}</strong>
                    </p>
                    <p>Everything that it did was undone; its gas was paid all the same.</p>
                  </div>
                )}
                <ul class="tree">
                  <Branch trace={top} left={{ calls: 500 }} />
                </ul>
              </>
            )
          }
        </Show>
      )}
    </Card>
  );
}

// `left` bounds how many calls are drawn.
function Branch({ trace, left }: { trace: Trace; left: { calls: number } }) {
  if (left.calls <= 0) return null;
  left.calls -= 1;
  const decoded = trace.type.startsWith("CREATE") ? undefined : decodeInput(trace.input, trace.to);
  return (
    <li>
      <Badge kind={trace.error ? "bad" : "plain"}>{trace.type.toLowerCase()}</Badge> {trace.to ? <Account at={trace.to} /> : "–"}{" "}
      <code>{decoded ? `${decoded.name}(${decoded.values.map(({ name }) => name).join(", ")})` : trace.input.slice(0, 10)}</code>{" "}
      {trace.value && BigInt(trace.value) > 0n && <Ether wei={BigInt(trace.value)} />} <span class="muted number">{count(number(trace.gasUsed))} gas</span>
      {trace.error && <span class="wrong"> {decodeRevert(trace.output, trace.to) ?? trace.error}</span>}
      {trace.calls && (
        <ul>
          {trace.calls.map((inner, index) => (
            <Branch key={index} trace={inner} left={left} />
          ))}
        </ul>
      )}
    </li>
  );
}
