// The whole life of an order, from the seller's transaction to the reported lock.

import type { Change } from "../state/shadow";
import type { Hex } from "../rpc/types";
import type { SaleEvent } from "./sales";

export type StepState = "done" | "now" | "todo" | "failed";

export interface Step {
  name: string;
  state: StepState;
  // In seconds since 1970.
  at?: number;
  detail?: string;
  tx?: Hex;
  block?: number;
}

// What this page itself knows of a code.
export interface Scan {
  job: Hex;
  device: string;
  // In seconds since 1970.
  scannedAt?: number;
  notAfter?: number;
  refused?: string;
}

const section = (part: unknown): Record<string, unknown> => (typeof part === "object" && part !== null ? (part as Record<string, unknown>) : {});

export function timelineOf(events: SaleEvent[], changes: Change[], scan?: Scan): Step[] {
  const first = (name: string) => events.find((event) => event.name === name);
  const [placed, operator, sold, released, opened] = ["OrderPlaced", "OperatorNamed", "OrderSold", "Released", "Opened"].map(first);
  const job = (released?.values.job as Hex | undefined) ?? scan?.job;
  const oldestFirst = [...changes].reverse();
  const change = (holds: (state: Record<"desired" | "reported" | "delta", Record<string, unknown>>) => boolean) =>
    job === undefined ? undefined : oldestFirst.find(({ state }) => holds({ desired: section(state.desired), reported: section(state.reported), delta: section(state.delta) }));
  const desired = change((state) => state.desired.job === job);
  const delta = change((state) => state.desired.job === job && Object.keys(state.delta).length > 0);
  const open = change((state) => state.reported.job === job && state.reported.lock === "open");
  const rejected = change((state) => state.reported.job === job && typeof state.reported.rejected === "string");
  const because = scan?.refused ?? (rejected ? String(section(rejected.state.reported).rejected) : undefined);
  const device = (released?.values.device as string | undefined) ?? scan?.device;

  const chain = (name: string, event: SaleEvent | undefined, detail?: string): Omit<Step, "state"> => ({ name, ...(event ? { at: event.at, tx: event.tx, block: event.block } : {}), detail });
  const shadow = (name: string, found: Change | undefined, detail: string): Omit<Step, "state"> => ({ name, ...(found ? { at: found.timestamp, detail: `${detail}, version ${found.version}` } : {}) });
  const steps: Omit<Step, "state">[] = [
    chain("Created by the seller", placed),
    { name: "Mined", ...(placed ? { at: placed.at, block: placed.block } : {}) },
    ...(operator ? [chain("Warehouse named", operator, String(operator.values.operator))] : []),
    chain("Sold", sold, sold && `to ${String(sold.values.buyer)}`),
    { name: "Code made", ...(job ? { detail: `job ${job}${device ? `, for ${device}` : ""}` } : {}) },
    { name: "Scanned", ...(scan?.scannedAt ? { at: scan.scannedAt } : desired ? { at: desired.timestamp } : {}) },
    shadow("Desired in the shadow", desired, "the device asks for the release"),
    shadow("Delta to the device", delta, "what is desired and not reported"),
    chain("Released on the chain", released, released && `by ${String(released.values.releasedBy)}`),
    shadow("Lock opened", open, "the device reports it open"),
    chain("Reported on the chain", opened, opened && "the opening is recorded"),
  ];
  // A later step that happened says that those before it did, also where nobody noted when.
  const happened = steps.map(({ at, detail }, index) => at !== undefined || (steps[index]?.name === "Code made" && detail !== undefined));
  const last = happened.lastIndexOf(true);
  return steps.map((step, index) => {
    if (index <= last) return { ...step, state: "done" };
    if (index === last + 1) return because !== undefined ? { ...step, state: "failed", detail: because } : { ...step, state: "now" };
    return { ...step, state: "todo" };
  });
}
