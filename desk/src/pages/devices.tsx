// All devices: who may come, who is here, and whose certificate ends.

import { useState } from "preact/hooks";
import { useLoad } from "../lib/load";
import { to } from "../lib/router";
import { count, instant } from "../lib/units";
import { current, daysLeft, daysToWarn, mayCome, useDeviceEvents, type Device } from "../state/devices";
import { call, now } from "../state/node";
import { CertificateState, Connected, Openings } from "../ui/devices";
import { Age, Card, Notice, Page, Pager, Problem, Show, Table } from "../ui/parts";

const size = 25;

export default function Devices({ query }: { query: URLSearchParams }) {
  const after = query.get("after");
  const list = useLoad(() => call<{ items: Device[]; next: string | null }>("device_list", { limit: size, ...(after ? { after } : {}) }), [after]);
  const [alarms, setAlarms] = useState<{ name: string; text: string; at: number }[]>([]);
  useDeviceEvents(list.reload, ({ event, name, alarm }) => {
    if (event === "alarm") setAlarms((before) => [{ name: name ?? "", text: JSON.stringify(alarm), at: Date.now() / 1000 }, ...before].slice(0, 20));
  });
  const missing = list.error && !list.data;
  const ending = (list.data?.items ?? []).filter((device) => mayCome(device) && daysLeft(current(device)!, now.value) <= daysToWarn);
  return (
    <Page title="Devices" lead="Each device has a certificate of its own; without an active one the broker does not let it in.">
      {missing && /no devices here/.test(list.error?.message ?? "") ? (
        <Notice kind="warn">
          This node runs no broker for devices. Start it with <code>--mqtt</code>, and make devices with <code>drawbridge device add NAME</code> (docs/devices.md).
        </Notice>
      ) : missing ? (
        <Problem error={list.error} retry={list.reload} />
      ) : (
        <>
          {alarms.map(({ name, text, at }) => (
            <Notice key={at} kind="warn">
              <Age at={at} />: <a href={to(`device/${name}`)}>{name}</a> does not comply: {text}. Go and look at the lock.
            </Notice>
          ))}
          {ending.length > 0 && (
            <Notice kind="warn">
              {count(ending.length)} {ending.length === 1 ? "certificate ends" : "certificates end"} within {daysToWarn} days: {ending.map(({ name }) => name).join(", ")}. Make new ones with <code>drawbridge device rotate NAME</code>.
            </Notice>
          )}
          <Card title="Devices">
            <Show of={list} what="the devices">
              {({ items, next }) => (
                <>
                  <Table
                    caption="Devices by name"
                    rows={items}
                    keyOf={({ name }) => name}
                    empty="No device yet. Make one with: drawbridge device add NAME"
                    columns={[
                      { name: "Name", cell: ({ name }) => <a href={to(`device/${name}`)}>{name}</a> },
                      { name: "Kind", cell: ({ role }) => role, spare: true },
                      { name: "Connection", cell: ({ connected }) => <Connected is={connected} /> },
                      { name: "Certificate", cell: (device) => { const certificate = current(device); return certificate ? <CertificateState certificate={certificate} /> : "none"; } },
                      { name: "Ends", cell: (device) => { const certificate = current(device); return certificate ? <span class="number">{instant(certificate.expiresAt).slice(0, 10)}, {count(daysLeft(certificate, now.value))} days left</span> : "–"; }, spare: true },
                    ]}
                  />
                  {(after || next) && <Pager words={["First", "Next"]} newer={after ? to("devices") : undefined} older={next ? to("devices", { after: next }) : undefined} />}
                </>
              )}
            </Show>
          </Card>
          <Openings device={null} />
        </>
      )}
    </Page>
  );
}
