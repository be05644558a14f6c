// Where a search leads.

import { to } from "./router";

export type Found = { page: string } | { hash: string } | { problem: string };

// A number is a block, 20 bytes are an account, 32 bytes are a block or a transaction (the node knows which), a code is a collection.
export function read(text: string): Found {
  const word = text.trim();
  if (word === "") return { problem: "Type a block number, a hash, or an address." };
  if (/^(latest|safe|finalized|earliest)$/i.test(word)) return { page: to(`block/${word.toLowerCase()}`) };
  if (/^[\d,_ ]+$/.test(word)) return { page: to(`block/${word.replace(/[,_ ]/g, "").replace(/^0+(?=\d)/, "")}`) };
  if (/^T1:/i.test(word)) return { page: to("collect", { code: word }) };
  const hex = /^(?:0x)?([0-9a-f]+)$/i.exec(word)?.[1]?.toLowerCase();
  if (hex?.length === 40) return { page: to(`account/0x${hex}`) };
  if (hex?.length === 64) return { hash: `0x${hex}` };
  if (hex && /^0x/i.test(word) && hex.length <= 16) return { page: to(`block/${BigInt(`0x${hex}`)}`) };
  return { problem: `“${word.slice(0, 60)}” is no block number, no hash (64 digits) and no address (40 digits). Check for missing characters.` };
}
