// What a call can end with, and what the person at the desk can do about it.

export type Blame = "offline" | "missing" | "revert" | "denied" | "rejected" | "refused" | "input" | "other";

// A call that failed. `code` is the JSON-RPC code, or 0 where there was no answer.
export class RpcError extends Error {
  constructor(
    readonly code: number,
    message: string,
    readonly data?: unknown,
    readonly method = "",
  ) {
    super(message);
    this.name = "RpcError";
  }
}

// A problem with what somebody typed or chose; its text says what to do.
export class InputError extends Error {
  constructor(
    message: string,
    readonly remedy = "",
  ) {
    super(message);
    this.name = "InputError";
  }
}

export function blameOf(error: unknown): Blame {
  if (error instanceof InputError) return "input";
  if (!(error instanceof Error)) return "other";
  const code = (error as { code?: unknown }).code;
  if (code === 0) return "offline";
  if (code === 4001) return "rejected";
  if (code === -32601 || code === 4200) return "missing";
  if (code === 3) return "revert";
  if (code === 401 || code === 403 || code === 4100) return "denied";
  return error instanceof RpcError ? "refused" : "other";
}

const remedies: [RegExp, string][] = [
  [/insufficient funds/i, "Send ether to this account first, or choose another account under Signing."],
  [/nonce too low/i, "Another transaction of this account was mined meanwhile. Try again."],
  [/replacement transaction underpriced|already known/i, "A transaction with the same nonce waits in the pool: see Pool, and wait for it."],
  [/authentication needed|unknown account/i, "The node does not sign for this account. Choose another one under Signing."],
  [/could not decrypt|wrong password/i, "Type the password again; capitals count."],
  [/intrinsic gas|out of gas|gas required exceeds/i, "The call needs more gas than it may use. Check its arguments."],
  [/history|missing trie node|pruned/i, "This node does not keep the state of that block. Ask one that keeps all history."],
  [/limit exceeded|too many|429/i, "Wait some seconds and try again."],
];

// One sentence on what to do, for each error that the desk can show.
export function remedyOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  switch (blameOf(error)) {
    case "input":
      return (error as InputError).remedy;
    case "offline":
      return "Check that the node runs and that this computer reaches it. The desk tries again by itself.";
    case "missing":
      return "This node does not offer that method. Start it with the namespace in --http.api, or with a newer version.";
    case "denied":
      return "The node asks for a key or a login that this page did not show. Open the desk through the address that your operator gave you.";
    case "rejected":
      return "You declined in your wallet. Nothing was sent; try again when you are ready.";
    case "revert":
      return remedies.find(([words]) => words.test(text))?.[1] ?? "The contract refused. Nothing was changed; read the reason and adapt the call.";
    default:
      return remedies.find(([words]) => words.test(text))?.[1] ?? "Try again; if it stays, the node's log says more.";
  }
}

// An error as an `Error`, whatever was thrown: wallets throw plain objects.
export function asError(thrown: unknown): Error {
  if (thrown instanceof Error) return thrown;
  if (typeof thrown === "object" && thrown !== null && "message" in thrown) {
    const { code, message, data } = thrown as { code?: unknown; message: unknown; data?: unknown };
    return new RpcError(typeof code === "number" ? code : -32000, String(message), data);
  }
  return new Error(String(thrown));
}
