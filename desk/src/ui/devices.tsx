// How devices look in lists and on their pages.

import { useState } from "preact/hooks";
import { to } from "../lib/router";
import { number, span } from "../lib/units";
import { daysLeft, daysToWarn, jobsOf, useOpenings, type Certificate, type Job } from "../state/devices";
import { now } from "../state/node";
import { Account, Age, Badge, Card, Notice, Show, Table, Tx } from "./parts";

export function CertificateState({ certificate }: { certificate: Certificate }) {
  const { state } = certificate;
  if (state !== "active") return <Badge kind={state === "revoked" || state === "expired" ? "bad" : "plain"}>{state}</Badge>;
  const days = daysLeft(certificate, now.value);
  if (days < 0) return <Badge kind="bad">expired</Badge>;
  return days <= daysToWarn ? <Badge kind="warn">active, ends in {days} days</Badge> : <Badge kind="good">active</Badge>;
}

export const Connected = ({ is }: { is: boolean }) => (is ? <Badge kind="good">connected</Badge> : <Badge>away</Badge>);

export function Openings({ device }: { device: string | null }) {
  const [before, setBefore] = useState<string | null>(null);
  const list = useOpenings(device, before);
  return (
    <Card title="Openings" note="As the chain keeps them: who released, who collected, and when the lock was reported open.">
      {list.error && !list.data ? (
        <Notice kind="warn">The openings cannot be read here: {list.error.message}. Each order's time line shows its own.</Notice>
      ) : (
        <Show of={list} what="the openings">
          {({ items, next }) => (
            <>
              <Table
                caption="Openings, newest first"
                rows={jobsOf(items)}
                keyOf={({ job }) => job}
                empty={before ? "There are no older ones." : "Nothing was opened yet."}
                columns={[
                  { name: "Order", cell: ({ released, opened }) => <a href={to(`collect/${(released ?? opened)?.order}`)} class="hash">{(released ?? opened)?.order.slice(0, 12)}…</a> },
                  ...(device ? [] : [{ name: "Device", cell: ({ released, opened }: Job) => <a href={to(`device/${(released ?? opened)?.device}`)}>{(released ?? opened)?.device}</a> }]),
                  { name: "Collected by", cell: ({ released, opened }) => <Account at={(released ?? opened)?.buyer ?? ""} /> },
                  { name: "Released", cell: ({ released }) => (released ? <><Age at={number(released.timestamp)} /> <Tx hash={released.hash} /></> : "–") },
                  {
                    name: "Opened",
                    cell: ({ released, opened }) =>
                      opened ? <><Age at={number(opened.timestamp)} />{released && <span class="muted"> {span(number(opened.timestamp) - number(released.timestamp))} later</span>}</> : <Badge kind="warn">not reported</Badge>,
                  },
                  { name: "Code", cell: ({ released }) => (released ? (released.signed ? "signed" : "plain") : "–"), spare: true },
                ]}
              />
              {(before || next) && (
                <nav class="pager" aria-label="Pages of the openings">
                  <button type="button" disabled={!before} onClick={() => setBefore(null)}>
                    ← Newest
                  </button>
                  <button type="button" disabled={!next} onClick={() => setBefore(next)}>
                    Older →
                  </button>
                </nav>
              )}
            </>
          )}
        </Show>
      )}
    </Card>
  );
}
