// How an order looks in lists and on its pages.

import type { Order } from "../chain/sales";
import { to } from "../lib/router";
import { Account, Badge, Copy, Ether, Facts } from "./parts";

export function State({ order }: { order: Order }) {
  if (order.release?.openedAt) return <Badge kind="good">collected</Badge>;
  if (order.release) return <Badge kind="warn">released, not opened yet</Badge>;
  return order.sold ? <Badge kind="good">sold</Badge> : <Badge kind="plain">for sale</Badge>;
}

export const titleOf = ({ make, model, year }: Order): string => `${make} ${model} (${year})`;

export const OrderLink = ({ order }: { order: Order }) => <a href={to(`buy/${order.address}`)}>{titleOf(order)}</a>;

export function OrderFacts({ order }: { order: Order }) {
  return (
    <Facts
      rows={[
        ["State", <State order={order} />],
        ["Price", <span class="price"><Ether wei={order.priceWei} /></span>],
        ["Make", order.make],
        ["Model", order.model],
        ["Year", String(order.year)],
        ["Serial number", <code>{order.serialNumber}</code>],
        ["Seller", <Account at={order.seller} whole />],
        order.sold && ["Buyer", <Account at={order.buyer} whole />],
        ["Releases also by", BigInt(order.operator) === 0n ? "nobody but the seller" : <Account at={order.operator} whole />],
        ["Contract", <><Account at={order.address} whole /> <Copy text={order.address} what="the contract's address" /></>],
      ]}
    />
  );
}
