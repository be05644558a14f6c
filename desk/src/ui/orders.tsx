// The orders of a registry as a list, newest first, a page at a time.

import { listOrders } from "../chain/sales";
import { useLoad } from "../lib/load";
import { to } from "../lib/router";
import { count } from "../lib/units";
import type { Hex } from "../rpc/types";
import { OrderLink, State } from "./order";
import { Card, Ether, Pager, Show, Table } from "./parts";

const pageSize = 10;

interface Place {
  registry: Hex;
  // Whose orders alone; null: everybody's.
  seller: Hex | null;
  // The page that the list stands on, and the order before which it begins, as its address says.
  page: string;
  before: string | null;
}

export function Orders({ title, what, empty, registry, seller, page, before }: Place & { title: string; what: string; empty: string }) {
  const from = before !== null && /^\d+$/.test(before) ? Number(before) : null;
  const list = useLoad(() => listOrders(registry, seller, from, pageSize), [registry, seller, from], "live");
  return (
    <Card title={title}>
      <Show of={list} what={what}>
        {(found) => (
          <>
            <Table
              caption={`${title}, newest first`}
              rows={found.orders}
              keyOf={({ address }) => address}
              empty={empty}
              columns={[
                { name: "Item", cell: (order) => <OrderLink order={order} /> },
                { name: "Serial number", cell: ({ serialNumber }) => <code>{serialNumber}</code>, spare: true },
                { name: "State", cell: (order) => <State order={order} /> },
                { name: "Price", cell: ({ priceWei }) => <Ether wei={priceWei} />, right: true },
              ]}
            />
            {found.count > pageSize && (
              <Pager words={["Newest", "Older"]} newer={from === null ? undefined : to(page)} older={found.next === null ? undefined : to(page, { before: found.next })} note={`${count(found.count)} orders`} />
            )}
          </>
        )}
      </Show>
    </Card>
  );
}
