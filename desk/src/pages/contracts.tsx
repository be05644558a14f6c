// The contracts whose ABIs this browser keeps, and the upload of more.

import { useState } from "preact/hooks";
import { described, functionsOf, eventsOf, registry, sale, setAbi } from "../chain/abi";
import { useLoad } from "../lib/load";
import { go, to } from "../lib/router";
import { count } from "../lib/units";
import { registryAddress } from "../chain/sales";
import { Account, Card, Page, Table, useSlices } from "../ui/parts";
import { AbiUpload } from "../ui/contract";

export default function Contracts() {
  const [turn, setTurn] = useState(0);
  const registryAt = useLoad(registryAddress, []);
  const known = described();
  const { rows, bar } = useSlices(known, 25);
  return (
    <Page title="Contracts" lead="Contracts that the desk can read and write. Any other one opens by its address in the search above.">
      <Card title="Orders" note="Sales orders and their registry are known without an ABI.">
        <p>
          {registryAt.data ? (
            <>
              Registry: <Account at={registryAt.data} whole /> · {count(functionsOf(registry.abi).length)} functions; each order has {count(functionsOf(sale.abi).length)}.
            </>
          ) : (
            <>
              No registry is set yet: see <a href={to("sell")}>Sell</a>.
            </>
          )}
        </p>
      </Card>
      <Card title="ABIs in this browser" key={turn}>
        <Table
          caption="Contracts with an ABI in this browser"
          rows={rows}
          keyOf={([address]) => address}
          empty="None yet. Upload the ABI of a contract below."
          columns={[
            { name: "Name", cell: ([address, { name }]) => <a href={to(`account/${address}`, { view: "contract" })}>{name}</a> },
            { name: "Contract", cell: ([address]) => <Account at={address} /> },
            { name: "Functions", cell: ([, { abi }]) => <span class="number">{count(functionsOf(abi).length)} functions</span>, right: true },
            { name: "Events", cell: ([, { abi }]) => <span class="number">{count(eventsOf(abi).length)} events</span>, right: true, spare: true },
            {
              name: "Remove",
              cell: ([address, { name }]) => (
                <button type="button" class="small danger" aria-label={`Remove the ABI ${name}`} onClick={() => (setAbi(address, undefined), setTurn(turn + 1))}>
                  Remove
                </button>
              ),
            },
          ]}
        />
        {bar}
      </Card>
      <Card title="Upload an ABI" note="It stays in this browser.">
        <AbiUpload done={(address) => go(to(`account/${address}`, { view: "contract" }))} />
      </Card>
    </Page>
  );
}
