// The frame around all pages: name, search, navigation, and the state of the connection.

import { useEffect, useRef, useState } from "preact/hooks";
import { go, place, to } from "./lib/router";
import { read } from "./lib/search";
import { count } from "./lib/units";
import { call, chainId, clientVersion, connection, head, keyWanted, showKey } from "./state/node";
import { chooseTheme, theme, type Theme } from "./state/theme";
import { Lazy, type PageComponent } from "./ui/lazy";
import { Age, Page } from "./ui/parts";

type Load = () => Promise<{ default: PageComponent }>;

const pages: Record<string, Load> = {
  "": () => import("./pages/dashboard"),
  sell: () => import("./pages/sell"),
  buy: () => import("./pages/buy"),
  collect: () => import("./pages/collect"),
  signing: () => import("./pages/signing"),
  blocks: () => import("./pages/blocks"),
  block: () => import("./pages/block"),
  tx: () => import("./pages/transaction"),
  account: () => import("./pages/account"),
  contracts: () => import("./pages/contracts"),
  pool: () => import("./pages/pool"),
  forks: () => import("./pages/forks"),
  cluster: () => import("./pages/cluster"),
  devices: () => import("./pages/devices"),
  device: () => import("./pages/device"),
};

const navigation: [string, [string, string][]][] = [
  ["Orders", [["sell", "Sell"], ["buy", "Buy"], ["collect", "Collect"]]],
  ["Chain", [["", "Overview"], ["blocks", "Blocks"], ["contracts", "Contracts"], ["pool", "Pool"], ["forks", "Forks"]]],
  ["Operation", [["cluster", "Cluster"], ["devices", "Devices"]]],
  ["You", [["signing", "Signing"]]],
];

// Which entry of the navigation a page belongs to.
const home: Record<string, string> = { block: "blocks", tx: "blocks", account: "contracts", device: "devices" };

export function App() {
  const { parts, query } = place.value;
  const name = parts[0] ?? "";
  const [open, setOpen] = useState(false);
  const main = useRef<HTMLElement>(null);
  const first = useRef(true);
  useEffect(() => {
    setOpen(false);
    if (first.current) {
      first.current = false;
      return;
    }
    scrollTo(0, 0);
    main.current?.focus();
  }, [name, parts[1]]);
  const load = pages[name];
  return (
    <>
      <a class="skip" href={to(parts.join("/"))} onClick={(event) => (event.preventDefault(), main.current?.focus())}>
        Skip to the page
      </a>
      <header class="top">
        <a class="brand" href={to("")}>
          <img src="/desk/mark.svg" alt="" width="28" height="28" />
          <span>Drawbridge</span>
        </a>
        <Search />
        <Connection />
        <button type="button" class="menu" aria-expanded={open} aria-controls="navigation" onClick={() => setOpen(!open)}>
          Menu
        </button>
      </header>
      <div class="frame">
        <nav id="navigation" class={open ? "side open" : "side"} aria-label="Pages">
          {navigation.map(([group, entries]) => (
            <div key={group}>
              <h2>{group}</h2>
              <ul>
                {entries.map(([path, title]) => (
                  <li key={path}>
                    <a href={to(path)} aria-current={(home[name] ?? name) === path ? "page" : undefined}>
                      {title}
                    </a>
                  </li>
                ))}
              </ul>
            </div>
          ))}
          <ThemeChoice />
          <p class="muted version">
            {clientVersion.value}
            {chainId.value !== null && <span>chain id {chainId.value}</span>}
          </p>
        </nav>
        <main ref={main} tabIndex={-1} aria-live="off">
          {keyWanted.value && <KeyForm />}
          {load ? (
            <Lazy key={name} load={load} parts={parts.slice(1)} query={query} />
          ) : (
            <Page title="No such page">
              <p>
                There is no page “{name}”. <a href={to("")}>Go to the overview.</a>
              </p>
            </Page>
          )}
        </main>
      </div>
    </>
  );
}

// A node with keys (--rpc.keys) answers nobody without one.
function KeyForm() {
  const give = (event: SubmitEvent) => {
    event.preventDefault();
    showKey(String(new FormData(event.currentTarget as HTMLFormElement).get("key") ?? ""));
  };
  return (
    <form class="notice warn form" onSubmit={give}>
      <label for="key">
        <strong>This node asks for an API key.</strong> Your operator gives you one; it is kept until this window is closed.
      </label>
      <div class="with-unit">
        <input id="key" name="key" type="password" autocomplete="off" />
        <button type="submit">Show it</button>
      </div>
    </form>
  );
}

const words = { live: "live", polling: "live, every 2 s", connecting: "connecting", offline: "node away" };

function Connection() {
  const state = connection.value;
  const block = head.value;
  return (
    <div class={`connection ${state}`} role="status" aria-live={state === "offline" ? "assertive" : "off"}>
      <span class="dot" aria-hidden="true" />
      <span>
        {state === "offline" ? "The node is away; trying again" : words[state]}
        {block && state !== "offline" && (
          <span class="head">
            {" · block "}
            <a href={to(`block/${block.number}`)}>{count(block.number)}</a>
            {" · "}
            <Age at={block.timestamp} />
          </span>
        )}
      </span>
    </div>
  );
}

function Search() {
  const [problem, setProblem] = useState("");
  const search = async (event: SubmitEvent) => {
    event.preventDefault();
    const form = event.currentTarget as HTMLFormElement;
    const found = read(String(new FormData(form).get("query") ?? ""));
    setProblem("problem" in found ? found.problem : "");
    if ("page" in found) go(found.page);
    if (!("hash" in found)) return;
    try {
      const [block, tx] = await Promise.all([call("eth_getHeaderByHash", found.hash), call("eth_getTransactionByHash", found.hash)]);
      if (block) go(to(`block/${found.hash}`));
      else if (tx) go(to(`tx/${found.hash}`));
      else go(to(`tx/${found.hash}`, { searched: 1 }));
    } catch (error) {
      setProblem(error instanceof Error ? error.message : String(error));
    }
  };
  return (
    <form class="search" role="search" onSubmit={search}>
      <label class="hidden" for="query">
        Search by block number, hash or address
      </label>
      <input id="query" name="query" type="search" placeholder="Block, hash or address" autocomplete="off" spellcheck={false} aria-describedby="query-problem" />
      <button type="submit">Search</button>
      <p id="query-problem" class="hint wrong" role="alert">
        {problem}
      </p>
    </form>
  );
}

function ThemeChoice() {
  return (
    <div class="theme field">
      <label for="theme">Colours</label>
      <select id="theme" value={theme.value} onChange={(event) => chooseTheme(event.currentTarget.value as Theme)}>
        <option value="system">as the system</option>
        <option value="light">light</option>
        <option value="dark">dark</option>
      </select>
    </div>
  );
}
