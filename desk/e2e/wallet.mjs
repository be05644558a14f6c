// A wallet in the page, as an extension puts it there (EIP-6963, EIP-1193): it announces itself, asks nobody, and signs by a node that has the
// account. It begins on another network and does not know this one.

export function injectWallet({ account, name }) {
  const requests = [];
  globalThis.walletRequests = requests;
  let chain = "0x1";
  const known = new Set(["0x1"]);
  const listeners = new Map();
  const fail = (code, message) => Promise.reject(Object.assign(new Error(message), { code }));
  const node = async (method, params) => {
    const response = await fetch("/", { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ jsonrpc: "2.0", id: 1, method, params }) });
    const { result, error } = await response.json();
    return error ? fail(error.code, error.message) : result;
  };
  const provider = {
    on: (event, listener) => listeners.set(event, listener),
    removeListener: (event) => listeners.delete(event),
    async request({ method, params }) {
      requests.push({ method, params });
      if (globalThis.walletDeclines) return fail(4001, "User rejected the request.");
      switch (method) {
        case "eth_requestAccounts":
          return [account];
        case "eth_accounts":
          return requests.some((request) => request.method === "eth_requestAccounts") ? [account] : [];
        case "eth_chainId":
          return chain;
        case "wallet_switchEthereumChain":
          if (!known.has(params[0].chainId)) return fail(4902, "Unrecognized chain ID");
          chain = params[0].chainId;
          return null;
        case "wallet_addEthereumChain":
          known.add(params[0].chainId);
          chain = params[0].chainId;
          return null;
        case "eth_sendTransaction":
        case "eth_signTypedData_v4":
          return node(method, params);
        default:
          return fail(4200, `no ${method} in this wallet`);
      }
    },
  };
  const detail = Object.freeze({ info: { uuid: "00000000-0000-4000-8000-000000000001", name, icon: "data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg'/>", rdns: "test.wallet" }, provider });
  const announce = () => dispatchEvent(new CustomEvent("eip6963:announceProvider", { detail }));
  addEventListener("eip6963:requestProvider", announce);
  announce();
}
