// The registry whose orders count here: chosen, or deployed.

import { useState } from "preact/hooks";
import { checkRegistry, registryAddress, registryDeployment, setRegistry } from "../chain/sales";
import { useLoad, useTask, type Loaded } from "../lib/load";
import { count } from "../lib/units";
import type { Hex } from "../rpc/types";
import { sendAndWait } from "../signing/send";
import { Account, Card, Doing, Field, Notice } from "./parts";
import { signer } from "./who";

export const useRegistry = (): Loaded<Hex | null> => useLoad(registryAddress, []);

export function RegistryChoice({ at, changed }: { at: Hex | null; changed(): void }) {
  const task = useTask();
  const [typed, setTyped] = useState("");
  const take = (address: string) =>
    task.run(async (say) => {
      say("Asking the contract …");
      const orders = await checkRegistry(address.trim());
      setRegistry(address.trim().toLowerCase() as Hex);
      say(`It knows ${count(orders)} orders.`);
      changed();
    });
  const deploy = () =>
    task.run(async (say) => {
      const receipt = await sendAndWait(signer(), await registryDeployment(), say);
      if (!receipt.contractAddress) throw new Error("the receipt names no contract");
      setRegistry(receipt.contractAddress);
      changed();
    });
  const form = (
    <div class="form">
      <Field label="Address of the registry" hint="Your operator knows it: a contract of the kind OrderRegistry, 0x and 40 digits." value={typed} onInput={(event) => setTyped(event.currentTarget.value)} autocomplete="off" />
      <div class="actions">
        <button type="button" disabled={task.running || typed.trim() === ""} onClick={() => take(typed)}>
          Use this registry
        </button>
        <button type="button" disabled={task.running} onClick={deploy}>
          Deploy a new registry
        </button>
      </div>
      <Doing task={task} />
    </div>
  );
  if (at !== null) {
    return (
      <details>
        <summary>Registry {at.slice(0, 10)}…</summary>
        <p class="note">
          Orders are created in the registry <Account at={at} whole />. Devices take codes only for orders of registries that they know.
        </p>
        {form}
      </details>
    );
  }
  return (
    <Card title="Registry" note="Orders live in a registry, and devices open only for orders of registries that they know. This page knows none yet.">
      <Notice>Once for all sellers of this chain: enter the registry that your organisation uses, or deploy one and tell its address to the devices.</Notice>
      {form}
    </Card>
  );
}
