// The devices of this node, as it lists them.

import { useEffect } from "preact/hooks";
import { useLoad, type Loaded } from "../lib/load";
import { call, subscribe } from "./node";
import type { Hex } from "../rpc/types";

export type CertificateState = "active" | "inactive" | "revoked" | "expired" | "replaced";

export interface Certificate {
  id: string;
  serial: string;
  state: CertificateState;
  issuedAt: number;
  expiresAt: number;
  retiresAt: number | null;
  revokedAt: number | null;
}

export interface Device {
  name: string;
  role: "device" | "service" | "custom";
  writes: "both" | "desired" | "reported";
  addedAt: number;
  connected: boolean;
  certificates: Certificate[];
}

export interface Opening {
  event: "released" | "opened";
  job: Hex;
  device: string;
  order: Hex;
  buyer: Hex;
  signed?: boolean;
  hash: Hex;
  blockNumber: Hex | number;
  timestamp: Hex | number;
  logIndex: Hex | number;
}

export interface DeviceEvent {
  event: "connected" | "disconnected" | "changed" | "alarm" | "scan";
  device?: Device;
  name?: string;
  alarm?: unknown;
}

// A certificate that ends within so many days is told of.
export const daysToWarn = 30;

export const daysLeft = (certificate: Certificate, now: number): number => Math.floor((certificate.expiresAt - now) / 86_400);

// Which certificate counts: an active one that ends last, else the newest.
export function current(device: Device): Certificate | undefined {
  const last = (of: Certificate[]) => [...of].sort((a, b) => b.expiresAt - a.expiresAt)[0];
  return last(device.certificates.filter(({ state }) => state === "active")) ?? last(device.certificates);
}

// Whether a device may come: it has an active certificate.
export const mayCome = (device: Device): boolean => device.certificates.some(({ state }) => state === "active");

// Reads again, soon after each event of a device.
export function useDeviceEvents(reload: () => void, heard: (event: DeviceEvent) => void = () => {}): void {
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const stop = subscribe<DeviceEvent>({
      method: "device_subscribe",
      kind: "devices",
      item: (event) => {
        heard(event);
        timer ??= setTimeout(() => {
          timer = undefined;
          reload();
        }, 100);
      },
      began: (anew) => anew && reload(),
    });
    return () => {
      clearTimeout(timer);
      stop();
    };
  }, []);
}

// What was opened, each job once: its release and, where it came, its opening.
export interface Job {
  job: Hex;
  released?: Opening;
  opened?: Opening;
}

export function jobsOf(events: Opening[]): Job[] {
  const jobs = new Map<Hex, Job>();
  for (const event of events) {
    const job = jobs.get(event.job) ?? { job: event.job };
    job[event.event] = event;
    jobs.set(event.job, job);
  }
  return [...jobs.values()];
}

export interface Page<T> {
  items: T[];
  next: string | null;
}

export const useOpenings = (device: string | null, before: string | null): Loaded<Page<Opening>> =>
  useLoad(() => call<Page<Opening>>("device_openings", device ? { device } : {}, { limit: 50, ...(before ? { before } : {}) }), [device, before], before ? "once" : "live");
