// Who signs: an account of a wallet in the browser, of a key that only this page holds, or of the node on a development chain.

import { computed, signal } from "@preact/signals";
import { keep, kept } from "../lib/keep";
import { asError, InputError, RpcError } from "../rpc/error";
import type { Hex } from "../rpc/types";
import { call, chainId, quantity } from "../state/node";

export interface Provider {
  request(request: { method: string; params?: unknown }): Promise<unknown>;
  on?(event: string, listener: (value: never) => void): void;
  removeListener?(event: string, listener: (value: never) => void): void;
}

export interface Wallet {
  id: string;
  name: string;
  icon?: string;
  provider: Provider;
}

export type Kind = "wallet" | "key" | "node";

export interface Account {
  kind: Kind;
  address: Hex;
  // Where it is kept, as people say it.
  name: string;
  wallet?: Wallet;
}

export const wallets = signal<Wallet[]>([]);
export const walletAccounts = signal<Account[]>([]);
export const nodeAccounts = signal<Account[]>([]);
export const keyAccounts = signal<Account[]>([]);
export const accounts = computed(() => [...walletAccounts.value, ...keyAccounts.value, ...nodeAccounts.value]);

interface Choice {
  kind: Kind;
  address: Hex;
}

const chosen = signal<Choice | undefined>(kept<Choice>("account"));
export const active = computed(() => accounts.value.find(({ kind, address }) => kind === chosen.value?.kind && address === chosen.value.address) ?? null);

export function choose(account: Choice | undefined): void {
  chosen.value = account && { kind: account.kind, address: account.address };
  keep("account", chosen.value);
}

export const lower = (address: string): Hex => address.toLowerCase() as Hex;

// Listens for wallets that announce themselves (EIP-6963), and asks them to.
let listening = false;
export function lookForWallets(): void {
  if (listening) return;
  listening = true;
  addEventListener("eip6963:announceProvider", (event) => {
    const { info, provider } = (event as CustomEvent<{ info: { uuid: string; name: string; icon?: string }; provider: Provider }>).detail;
    const icon = info.icon?.startsWith("data:image/") ? info.icon : undefined;
    addWallet({ id: info.uuid, name: info.name, icon, provider });
  });
  dispatchEvent(new Event("eip6963:requestProvider"));
  // Older wallets put one provider on the page (EIP-1193).
  setTimeout(() => {
    const provider = (globalThis as { ethereum?: Provider }).ethereum;
    if (provider && wallets.value.length === 0) addWallet({ id: "injected", name: "Wallet of this browser", provider });
  }, 300);
}

function addWallet(wallet: Wallet): void {
  if (wallets.value.some(({ id }) => id === wallet.id)) return;
  wallets.value = [...wallets.value, wallet];
  wallet.provider.on?.("accountsChanged", ((addresses: string[]) => setWalletAccounts(wallet, addresses)) as (value: never) => void);
  // One that was connected before tells its accounts without asking the person.
  if (chosen.value?.kind === "wallet") {
    wallet.provider.request({ method: "eth_accounts" }).then(
      (addresses) => setWalletAccounts(wallet, addresses as string[]),
      () => {},
    );
  }
}

function setWalletAccounts(wallet: Wallet, addresses: string[]): void {
  const others = walletAccounts.value.filter((account) => account.wallet?.id !== wallet.id);
  walletAccounts.value = [...others, ...addresses.map((address): Account => ({ kind: "wallet", address: lower(address), name: wallet.name, wallet }))];
}

export async function connect(wallet: Wallet): Promise<void> {
  try {
    const addresses = (await wallet.provider.request({ method: "eth_requestAccounts" })) as string[];
    setWalletAccounts(wallet, addresses);
    const first = addresses[0];
    if (!first) throw new InputError(`${wallet.name} gave no account.`, "Unlock the wallet, choose an account there, and connect again.");
    choose({ kind: "wallet", address: lower(first) });
  } catch (thrown) {
    throw asError(thrown);
  }
}

// Brings a wallet to this chain, and makes the network known to it where it is not.
export async function bringToChain(wallet: Wallet): Promise<void> {
  const id = chainId.value;
  if (id === null) throw new RpcError(0, "the node's chain is not known yet");
  const wanted = quantity(id);
  const request = async <T>(method: string, params?: unknown) => {
    try {
      return (await wallet.provider.request({ method, params })) as T;
    } catch (thrown) {
      throw asError(thrown);
    }
  };
  if (Number(await request<Hex>("eth_chainId")) === id) return;
  try {
    await request("wallet_switchEthereumChain", [{ chainId: wanted }]);
  } catch (error) {
    // 4902: the wallet does not know the chain.
    if ((error as RpcError).code !== 4902 && !/unrecognized chain|not been added/i.test((error as Error).message)) throw error;
    await addNetwork(wallet);
  }
  if (Number(await request<Hex>("eth_chainId")) !== id) {
    throw new InputError(`${wallet.name} is on another network.`, `Switch it to the network with chain id ${id}, then try again.`);
  }
}

export async function addNetwork(wallet: Wallet): Promise<void> {
  const id = chainId.value;
  if (id === null) throw new RpcError(0, "the node's chain is not known yet");
  const network = {
    chainId: quantity(id),
    chainName: `Drawbridge ${id}`,
    nativeCurrency: { name: "Ether", symbol: "ETH", decimals: 18 },
    rpcUrls: [new URL("/", location.href).href],
  };
  try {
    await wallet.provider.request({ method: "wallet_addEthereumChain", params: [network] });
  } catch (thrown) {
    throw asError(thrown);
  }
}

// The node's own accounts, where it has some that it signs for.
export async function readNodeAccounts(): Promise<void> {
  try {
    const addresses = await call<Hex[]>("eth_accounts");
    nodeAccounts.value = addresses.map((address, index): Account => ({ kind: "node", address: lower(address), name: `account ${index} of the node` }));
  } catch {
    nodeAccounts.value = [];
  }
}
