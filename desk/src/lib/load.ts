// Reading for a page: once, again on demand, and again with each head where the page is live.

import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { asError } from "../rpc/error";
import { generation, head } from "../state/node";

export interface Loaded<T> {
  data?: T;
  error?: Error;
  loading: boolean;
  reload(): void;
}

// At most this often a live page reads again.
const restMs = 700;

export function useLoad<T>(load: () => Promise<T>, inputs: unknown[], live: "live" | "once" = "once"): Loaded<T> {
  const [state, setState] = useState<{ data?: T; error?: Error; loading: boolean }>({ loading: true });
  const turn = useRef(0);
  const latest = useRef(load);
  latest.current = load;

  const run = useCallback(async (keep: boolean) => {
    const mine = ++turn.current;
    setState((before) => ({ ...(keep ? before : {}), loading: true }));
    try {
      const data = await latest.current();
      if (mine === turn.current) setState({ data, loading: false });
    } catch (thrown) {
      // What was read before stays on the page while the node is away.
      if (mine === turn.current) setState((before) => ({ ...(keep && before.data !== undefined ? { data: before.data } : {}), error: asError(thrown), loading: false }));
    }
  }, []);

  useEffect(() => {
    void run(false);
    return () => {
      turn.current += 1;
    };
  }, inputs);

  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    let last = Date.now();
    const again = () => {
      if (timer !== undefined) return;
      timer = setTimeout(() => {
        timer = undefined;
        last = Date.now();
        void run(true);
      }, Math.max(0, restMs - (Date.now() - last)));
    };
    let first = true;
    const skipFirst = () => !first && again();
    const leave = [generation.subscribe(skipFirst)];
    if (live === "live") leave.push(head.subscribe(skipFirst));
    first = false;
    return () => {
      clearTimeout(timer);
      leave.forEach((stop) => stop());
    };
  }, [live, run]);

  return { ...state, reload: () => void run(true) };
}

// What is under way after a click: its progress, and what went wrong.
export interface Task {
  running: boolean;
  note: string;
  error?: Error;
  run(work: (say: (note: string) => void) => Promise<void>): Promise<void>;
  clear(): void;
}

export function useTask(): Task {
  const [state, setState] = useState<{ running: boolean; note: string; error?: Error }>({ running: false, note: "" });
  const alive = useRef(true);
  useEffect(() => {
    alive.current = true;
    return () => {
      alive.current = false;
    };
  }, []);
  const run = async (work: (say: (note: string) => void) => Promise<void>) => {
    setState({ running: true, note: "" });
    try {
      await work((note) => alive.current && setState({ running: true, note }));
      if (alive.current) setState({ running: false, note: "" });
    } catch (thrown) {
      if (alive.current) setState({ running: false, note: "", error: asError(thrown) });
    }
  };
  return { ...state, run, clear: () => setState({ running: false, note: "" }) };
}
