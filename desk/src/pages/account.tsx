// One account: what it has, what it did, and, where it is a contract, reading and writing it.

import { useEffect, useState } from "preact/hooks";
import { abiOf, decodeInput, functionsOf, registry, sale, setAbi, type AbiFunction, type Described } from "../chain/abi";
import { isAddress, readContract } from "../chain/sales";
import { useLoad } from "../lib/load";
import { to } from "../lib/router";
import { bytes, count, number } from "../lib/units";
import { InputError } from "../rpc/error";
import type { Hex, LogJson, TransactionJson } from "../rpc/types";
import { call, methods, quantity } from "../state/node";
import { Balance } from "../ui/balance";
import { AbiUpload, Functions } from "../ui/contract";
import { Log } from "../ui/decoded";
import { Account as Link, Age, Badge, BlockLink, Card, Copy, Ether, Facts, Notice, Page, Pager, Show, Table, Tx } from "../ui/parts";

const size = 25;

export interface Row {
  hash: Hex;
  blockNumber: Hex;
  timestamp?: Hex;
  from: Hex;
  to: Hex | null;
  contractAddress?: Hex | null;
  value: Hex;
  method?: Hex | null;
  input?: Hex;
  status?: Hex;
}

interface Paged<T> {
  items: T[];
  next: string | null;
}

// A node without an index answers in parts, some of them empty: ask on until there is a page, for some turns.
const turnsMax = 20;

async function gather<T>(method: string, first: unknown, before: string | null, limit: number): Promise<Paged<T>> {
  const items: T[] = [];
  let next = before;
  for (let turn = 0; turn < turnsMax; turn += 1) {
    const page = await call<Paged<T>>(method, first, { limit: limit - items.length, ...(next ? { before: next } : {}) });
    items.push(...page.items);
    next = page.next;
    if (next === null || items.length >= limit) break;
  }
  return { items, next };
}

async function transactionsOf(address: string, before: string | null): Promise<Paged<Row>> {
  if ((await methods()).has("drawbridge_addressTransactions")) return gather<Row>("drawbridge_addressTransactions", address, before, size);
  type Found = { txs: TransactionJson[]; receipts: { transactionHash: Hex; status: Hex; timestamp?: number | Hex }[]; lastPage: boolean };
  const found = await call<Found>("ots_searchTransactionsBefore", address, before ? Number(before) : 0, size);
  const receipts = new Map(found.receipts.map((receipt) => [receipt.transactionHash, receipt]));
  const items = found.txs.map((tx): Row => {
    const receipt = receipts.get(tx.hash);
    return { hash: tx.hash, blockNumber: tx.blockNumber ?? "0x0", from: tx.from, to: tx.to, value: tx.value, input: tx.input, status: receipt?.status, ...(receipt?.timestamp ? { timestamp: quantity(number(receipt.timestamp)) } : {}) };
  });
  const last = items.at(-1);
  return { items, next: found.lastPage || !last ? null : String(number(last.blockNumber)) };
}

async function eventsOf(address: string, before: string | null): Promise<Paged<LogJson>> {
  if ((await methods()).has("drawbridge_events")) return gather<LogJson>("drawbridge_events", { address }, before, size);
  const logs = await call<LogJson[]>("eth_getLogs", { address, fromBlock: "0x0", toBlock: before ?? "latest" });
  return { items: logs.slice(-size).reverse(), next: null };
}

interface Known {
  nonce: number;
  code: Hex;
  creator: { hash: Hex; creator: Hex } | null;
  described?: Described;
}

// The ABI that somebody gave, or that of the sale's contracts where they answer as such.
async function describe(address: string): Promise<Described | undefined> {
  const own = abiOf(address);
  if (own) return own;
  const answers = (of: Described, name: string) => readContract(of.abi, address, name).then(() => true, () => false);
  const [isSale, isRegistry] = await Promise.all([answers(sale, "getItem"), answers(registry, "orderCount")]);
  return isSale ? sale : isRegistry ? registry : undefined;
}

async function find(address: string): Promise<Known> {
  if (!isAddress(address)) throw new InputError(`“${address}” is no address.`, "An address is 0x and 40 hexadecimal digits.");
  const [nonce, code] = await Promise.all([call<Hex>("eth_getTransactionCount", address, "latest"), call<Hex>("eth_getCode", address, "latest")]);
  if (code === "0x") return { nonce: number(nonce), code, creator: null };
  const [creator, described] = await Promise.all([call<Known["creator"]>("ots_getContractCreator", address).catch(() => null), describe(address)]);
  return { nonce: number(nonce), code, creator, described };
}

export default function Account({ parts, query }: { parts: string[]; query: URLSearchParams }) {
  const address = (parts[0] ?? "").toLowerCase();
  const [turn, setTurn] = useState(0);
  const known = useLoad(() => find(address), [address, turn]);
  const isContract = known.data ? known.data.code !== "0x" : false;
  const view = query.get("view") ?? "transactions";
  const views: [string, string][] = [["transactions", "Transactions"], ["tokens", "Tokens"], ...(isContract ? ([["contract", "Read and write"], ["events", "Events"], ["code", "Code"]] as [string, string][]) : [])];
  return (
    <Page title={isContract ? "Contract" : "Account"} lead={<><code>{address}</code> <Copy text={address} what="the address" /></>}>
      <Show of={known} what="the account">
        {({ nonce, code, creator, described }) => (
          <>
            <Card>
              <Facts
                rows={[
                  ["Balance", <Balance at={address} />],
                  [isContract ? "Contracts created" : "Transactions sent", count(nonce)],
                  isContract && ["Kind", described ? described.name : <span class="muted">unknown: upload its ABI under “Read and write”</span>],
                  isContract && ["Code", bytes((code.length - 2) / 2)],
                  creator && ["Created by", <><Link at={creator.creator} /> in <Tx hash={creator.hash} /></>],
                  described === sale && ["Order", <a href={to(`buy/${address}`)}>Open as an order</a>],
                ]}
              />
            </Card>
            <nav class="tabs" aria-label="Views of this account">
              {views.map(([key, title]) => (
                <a key={key} href={to(`account/${address}`, { view: key })} aria-current={view === key ? "page" : undefined}>
                  {title}
                </a>
              ))}
            </nav>
            {view === "transactions" && <Transactions key={query.get("before")} address={address} before={query.get("before")} />}
            {view === "tokens" && <Tokens key={query.get("before")} address={address} before={query.get("before")} />}
            {view === "events" && <Events key={query.get("before")} address={address} before={query.get("before")} />}
            {view === "code" && (
              <Card title="Code">
                <pre>{code}</pre>
                <Copy text={code} what="the code" />
              </Card>
            )}
            {view === "contract" && isContract && (
              <Interaction
                address={address as Hex}
                described={described}
                changed={() => setTurn(turn + 1)}
              />
            )}
          </>
        )}
      </Show>
    </Page>
  );
}

function Interaction({ address, described, changed }: { address: Hex; described?: Described; changed(): void }) {
  const own = abiOf(address) !== undefined;
  const all = described ? functionsOf(described.abi) : [];
  const reads = (entry: AbiFunction) => entry.stateMutability === "view" || entry.stateMutability === "pure";
  return (
    <>
      {described && <Functions address={address} title="Read" list={all.filter(reads)} writes={false} />}
      {described && <Functions address={address} title="Write" list={all.filter((entry) => !reads(entry))} writes />}
      <Card title={own ? `ABI: ${described?.name}` : "ABI"} note="ABIs are kept in this browser. They tell the desk what calls, logs and refusals mean.">
        {own && (
          <p>
            <button type="button" class="danger" onClick={() => (setAbi(address, undefined), changed())}>
              Remove the ABI
            </button>
          </p>
        )}
        <AbiUpload address={address} done={changed} />
      </Card>
    </>
  );
}

// What a transaction asked for, in a word.
export function methodOf(row: Row): string {
  if (row.to === null) return "creation";
  const input = row.input ?? row.method;
  if (!input || input === "0x") return "transfer";
  const decoded = row.input ? decodeInput(row.input, row.to) : undefined;
  return decoded?.name ?? input.slice(0, 10);
}

function Transactions({ address, before }: { address: string; before: string | null }) {
  const list = useLoad(() => transactionsOf(address, before), [address, before], before ? "once" : "live");
  return (
    <Card title="Transactions">
      <Show of={list} what="its transactions">
        {({ items, next }) => (
          <>
            <Table
              caption="Transactions, newest first"
              rows={items}
              keyOf={({ hash }) => hash}
              empty={before ? "There are no older ones." : "It took part in no transaction yet."}
              columns={[
                { name: "Transaction", cell: ({ hash }) => <Tx hash={hash} /> },
                { name: "Block", cell: ({ blockNumber }) => <BlockLink at={number(blockNumber)} /> },
                { name: "Age", cell: ({ timestamp }) => (timestamp ? <Age at={number(timestamp)} /> : "–"), spare: true },
                { name: "Call", cell: (row) => <code>{methodOf(row)}</code>, spare: true },
                { name: "From", cell: ({ from }) => (from === address ? <span class="muted">this account</span> : <Link at={from} />) },
                { name: "To", cell: (row) => (row.to === address ? <span class="muted">this account</span> : row.to ? <Link at={row.to} /> : row.contractAddress ? <Link at={row.contractAddress} /> : "new contract") },
                { name: "Value", cell: ({ value }) => <Ether wei={BigInt(value)} />, right: true },
                { name: "State", cell: ({ status }) => (status === undefined ? "–" : number(status) === 1 ? <Badge kind="good">done</Badge> : <Badge kind="bad">failed</Badge>) },
              ]}
            />
            <Older address={address} view="transactions" before={before} next={next} />
          </>
        )}
      </Show>
    </Card>
  );
}

function Older({ address, view, before, next }: { address: string; view: string; before: string | null; next: string | null }) {
  if (!before && !next) return null;
  const at = (from?: string) => to(`account/${address}`, { view, before: from });
  return <Pager words={["Newest", "Older"]} newer={before ? at() : undefined} older={next ? at(next) : undefined} />;
}

function Events({ address, before }: { address: string; before: string | null }) {
  const list = useLoad(() => eventsOf(address, before), [address, before], before ? "once" : "live");
  return (
    <Card title="Events">
      <Show of={list} what="its events">
        {({ items, next }) => (
          <>
            {items.length === 0 && <p class="empty">{before ? "There are no older ones." : "It emitted no event yet."}</p>}
            {items.map((log) => (
              <div key={`${log.blockHash}${log.logIndex}`}>
                <p class="muted">
                  Block <BlockLink at={number(log.blockNumber)} hash={log.blockHash} />, <Tx hash={log.transactionHash} />
                </p>
                <Log log={log} />
              </div>
            ))}
            <Older address={address} view="events" before={before} next={next} />
          </>
        )}
      </Show>
    </Card>
  );
}

interface Transfer {
  token: Hex;
  kind: "erc20" | "erc721";
  from: Hex;
  to: Hex;
  value?: Hex;
  tokenId?: Hex;
  hash: Hex;
  blockNumber: Hex;
  logIndex: Hex;
}

function Tokens({ address, before }: { address: string; before: string | null }) {
  const [offered, setOffered] = useState<boolean>();
  useEffect(() => {
    void methods().then((names) => setOffered(names.has("drawbridge_tokenTransfers")));
  }, []);
  const list = useLoad(() => (offered ? gather<Transfer>("drawbridge_tokenTransfers", address, before, size) : Promise.resolve(null)), [address, before, offered], before ? "once" : "live");
  return (
    <Card title="Token transfers" note="Amounts are in the token's smallest unit.">
      {offered === false ? (
        <Notice>This node does not tell token transfers. Start it with --index, or look under Events of the token's contract.</Notice>
      ) : (
        <Show of={list} what="token transfers">
          {(page) =>
            page && (
              <>
                <Table
                  caption="Token transfers, newest first"
                  rows={page.items}
                  keyOf={({ hash, logIndex }) => hash + logIndex}
                  empty={before ? "There are no older ones." : "No token moved to or from it yet."}
                  columns={[
                    { name: "Transaction", cell: ({ hash }) => <Tx hash={hash} /> },
                    { name: "Token", cell: ({ token, kind }) => <><Link at={token} /> <span class="muted">{kind === "erc721" ? "ERC-721" : "ERC-20"}</span></> },
                    { name: "From", cell: ({ from }) => <Link at={from} /> },
                    { name: "To", cell: (row) => <Link at={row.to} /> },
                    { name: "Amount", cell: ({ kind, value, tokenId }) => <span class="number">{kind === "erc721" ? `no. ${BigInt(tokenId ?? value ?? 0)}` : `${count(BigInt(value ?? 0))} units`}</span>, right: true },
                  ]}
                />
                <Older address={address} view="tokens" before={before} next={page.next} />
              </>
            )
          }
        </Show>
      )}
    </Card>
  );
}
