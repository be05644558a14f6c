"""web3.py against a running dev node."""

import asyncio
import json
import os
import pathlib
import re
import unittest

from eth_account import Account
from eth_account.messages import encode_defunct
from web3 import AsyncWeb3, HTTPProvider, Web3, WebSocketProvider
from web3.exceptions import (
    BlockNotFound,
    ContractCustomError,
    ContractLogicError,
    ContractPanicError,
    TransactionNotFound,
    Web3RPCError,
)

URL = os.environ["DRAWBRIDGE_URL"]
WS_URL = os.environ.get("DRAWBRIDGE_WS_URL") or re.sub("^http", "ws", URL)
ARTIFACTS = pathlib.Path(__file__).resolve().parents[2] / "contracts" / "artifacts"
MNEMONIC = "test test test test test test test test test test test junk"
WAIT_SECONDS_MAX = 15

Account.enable_unaudited_hdwallet_features()
KEYS = [Account.from_mnemonic(MNEMONIC, account_path=f"m/44'/60'/0'/0/{index}") for index in range(10)]
# Held by the node, which signs for them.
SELLER, BUYER, STRANGER = (KEYS[index].address for index in (5, 6, 9))
# Signs here.
LOCAL = KEYS[0]

w3 = Web3(HTTPProvider(URL))


def artifact(name):
    return json.loads((ARTIFACTS / f"{name}.json").read_text(encoding="utf-8"))


def receipt_of(tx_hash):
    return w3.eth.wait_for_transaction_receipt(tx_hash, timeout=WAIT_SECONDS_MAX, poll_latency=0.02)


def deploy(name, *parameters):
    built = artifact(name)
    factory = w3.eth.contract(abi=built["abi"], bytecode=built["bytecode"])
    receipt = receipt_of(factory.constructor(*parameters).transact({"from": SELLER}))
    return w3.eth.contract(address=receipt["contractAddress"], abi=built["abi"])


class Chain(unittest.TestCase):
    def test_ether_moves_by_exactly_the_value_and_the_gas(self):
        recipient = Account.create().address
        value = w3.to_wei("0.5", "ether")
        before = w3.eth.get_balance(BUYER)
        receipt = receipt_of(w3.eth.send_transaction({"from": BUYER, "to": recipient, "value": value}))
        self.assertEqual((receipt["status"], receipt["gasUsed"]), (1, 21_000))
        self.assertEqual(w3.eth.get_balance(recipient), value)
        fee = receipt["gasUsed"] * receipt["effectiveGasPrice"]
        self.assertEqual(w3.eth.get_balance(BUYER), before - value - fee)
        self.assertEqual(w3.eth.get_balance(recipient, receipt["blockNumber"] - 1), 0)

        block = w3.eth.get_block(receipt["blockNumber"], full_transactions=True)
        self.assertEqual(block["hash"], receipt["blockHash"])
        self.assertLessEqual(len(block["extraData"]), 32)
        self.assertEqual(len(block["nonce"]), 8)
        self.assertEqual(len(block["logsBloom"]), 256)
        found = w3.eth.get_transaction(receipt["transactionHash"])
        self.assertEqual(block["transactions"][receipt["transactionIndex"]], found)
        self.assertEqual((found["value"], found["to"]), (value, recipient))
        self.assertEqual(w3.eth.get_transaction_by_block(block["hash"], 0)["hash"], block["transactions"][0]["hash"])
        self.assertEqual(w3.eth.get_block_transaction_count(block["number"]), len(block["transactions"]))

    def test_the_unknown_is_not_found(self):
        with self.assertRaises(BlockNotFound):
            w3.eth.get_block(1_000_000_000)
        with self.assertRaises(TransactionNotFound):
            w3.eth.get_transaction("0x" + "12" * 32)
        with self.assertRaises(TransactionNotFound):
            w3.eth.get_transaction_receipt("0x" + "12" * 32)

    def test_local_transactions_of_each_type_are_mined(self):
        gas_price = w3.eth.gas_price
        fees = {"maxFeePerGas": gas_price * 2 + 1, "maxPriorityFeePerGas": 1}
        access_list = [{"address": BUYER, "storageKeys": ["0x" + "00" * 32]}]
        authority = Account.create()
        chain_id = w3.eth.chain_id
        target = deploy("DelegateTarget").address
        authorization = authority.sign_authorization({"chainId": chain_id, "address": target, "nonce": 0})
        kinds = [
            {"gasPrice": gas_price},
            {"type": 1, "gasPrice": gas_price, "accessList": access_list},
            {"type": 2, "accessList": access_list, **fees},
            {"type": 4, "authorizationList": [authorization], **fees},
        ]
        for expected_type, kind in zip((0, 1, 2, 4), kinds):
            with self.subTest(type=expected_type):
                nonce = w3.eth.get_transaction_count(LOCAL.address, "pending")
                fields = {"to": authority.address, "value": 1, "gas": 90_000, "nonce": nonce, "chainId": chain_id}
                signed = LOCAL.sign_transaction(fields | kind)
                receipt = receipt_of(w3.eth.send_raw_transaction(signed.raw_transaction))
                self.assertEqual((receipt["status"], receipt["type"]), (1, expected_type))
                self.assertEqual(w3.eth.get_transaction(signed.hash)["type"], expected_type)
        self.assertEqual(bytes(w3.eth.get_code(authority.address)), bytes.fromhex("ef0100" + target[2:]))

    def test_a_batch_answers_in_order(self):
        with w3.batch_requests() as batch:
            for account in KEYS:
                batch.add(w3.eth.get_balance(account.address, 0))
            balances = batch.execute()
        self.assertEqual(balances, [w3.to_wei(100, "ether")] * len(KEYS))

    def test_the_fee_history_has_a_price_per_block_and_one_more(self):
        receipt_of(w3.eth.send_transaction({"from": BUYER, "to": SELLER, "value": 1}))
        history = w3.eth.fee_history(2, "latest", [10, 90])
        self.assertEqual((len(history["baseFeePerGas"]), len(history["gasUsedRatio"])), (3, 2))
        self.assertEqual([len(row) for row in history["reward"]], [2, 2])
        self.assertEqual(history["baseFeePerGas"][1], w3.eth.get_block("latest")["baseFeePerGas"])
        self.assertGreaterEqual(w3.eth.max_priority_fee, 0)

    def test_the_pending_nonce_counts_what_was_sent(self):
        before = w3.eth.get_transaction_count(STRANGER, "pending")
        sent = [w3.eth.send_transaction({"from": STRANGER, "to": BUYER, "value": value}) for value in range(3)]
        self.assertEqual(w3.eth.get_transaction_count(STRANGER, "pending"), before + 3)
        self.assertEqual([receipt_of(tx_hash)["status"] for tx_hash in sent], [1, 1, 1])

    def test_signatures_of_the_node_recover_to_the_account(self):
        message = "Brücke 17"
        signature = w3.eth.sign(SELLER, text=message)
        self.assertEqual(Account.recover_message(encode_defunct(text=message), signature=signature), SELLER)
        personal = w3.manager.request_blocking("personal_sign", [Web3.to_hex(text=message), SELLER])
        self.assertEqual(Account.recover_message(encode_defunct(text=message), signature=personal), SELLER)

    def test_the_node_names_itself_and_its_accounts(self):
        self.assertTrue(w3.is_connected())
        if not os.environ.get("DRAWBRIDGE_OTHER_NODE"):
            self.assertRegex(w3.client_version, r"(?i)drawbridge/v?\d")
        self.assertTrue({account.address for account in KEYS} <= set(w3.eth.accounts))
        self.assertIs(w3.eth.syncing, False)

    def test_refused_transactions_say_why(self):
        with self.assertRaisesRegex(Web3RPCError, "nonce too low"):
            w3.eth.send_transaction({"from": SELLER, "to": BUYER, "nonce": 0, "gas": 21_000})
        poor = Account.create()
        fields = {"to": BUYER, "value": 1, "gas": 21_000, "nonce": 0, "chainId": w3.eth.chain_id, "gasPrice": w3.eth.gas_price}
        with self.assertRaisesRegex(Web3RPCError, "(?i)insufficient funds"):
            w3.eth.send_raw_transaction(poor.sign_transaction(fields).raw_transaction)


class Contracts(unittest.TestCase):
    def test_an_order_is_deployed_bought_verified_and_logged(self):
        price = w3.to_wei(1, "ether")
        order = deploy("SaleOrder", "drone", "alpha", 2019, "4AA6", price)
        receipt = receipt_of(order.functions.buy().transact({"from": BUYER, "value": price}))
        self.assertTrue(order.functions.verifyOwnership(BUYER).call())
        self.assertFalse(order.functions.verifyOwnership(SELLER).call())
        self.assertFalse(order.functions.isSold().call(block_identifier=receipt["blockNumber"] - 1))
        item = order.functions.getItem().call()
        self.assertEqual(list(item), ["drone", "alpha", 2019, "4AA6", price, True, BUYER, BUYER])

        [sold] = order.events.OrderSold().process_receipt(receipt)
        self.assertEqual(dict(sold["args"]), {"seller": SELLER, "buyer": BUYER, "priceWei": price})
        logs = order.events.OrderSold().get_logs(from_block=receipt["blockNumber"], argument_filters={"buyer": BUYER})
        self.assertEqual([log["transactionHash"] for log in logs], [receipt["transactionHash"]])
        self.assertEqual(len(w3.eth.get_logs({"address": order.address, "fromBlock": 0})), 2)

    def test_filters_give_each_entry_once(self):
        events = deploy("Events")
        logs = events.events.Plain.create_filter(from_block="latest")
        blocks = w3.eth.filter("latest")
        pending = w3.eth.filter("pending")
        receipt = receipt_of(events.functions.plain(5).transact({"from": SELLER}))
        self.assertEqual([log["args"]["value"] for log in logs.get_new_entries()], [5])
        self.assertIn(receipt["blockHash"], blocks.get_new_entries())
        self.assertIn(receipt["transactionHash"], pending.get_new_entries())
        self.assertEqual(logs.get_new_entries(), [])
        self.assertTrue(w3.eth.uninstall_filter(logs.filter_id))
        with self.assertRaisesRegex(Web3RPCError, "filter not found"):
            logs.get_new_entries()

    def test_storage_is_read_by_slot(self):
        target = deploy("DelegateTarget")
        receipt_of(target.functions.increase(3).transact({"from": SELLER}))
        self.assertEqual(int.from_bytes(w3.eth.get_storage_at(target.address, 0), "big"), 3)


class Failures(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.reverts = deploy("Reverts")
        cls.panics = deploy("Panics")

    def attempts(self, function):
        yield "call", lambda: function.call({"from": BUYER})
        yield "estimate", lambda: function.estimate_gas({"from": BUYER})

    def test_reasons_are_decoded(self):
        cases = {"withReason": "the bridge is up", "withUnicodeReason": "die Brücke ist offen ⛔"}
        for name, reason in cases.items():
            for kind, attempt in self.attempts(self.reverts.functions[name]()):
                with self.subTest(name=name, kind=kind), self.assertRaises(ContractLogicError) as caught:
                    attempt()
                self.assertIn(reason, str(caught.exception))

    def test_custom_errors_carry_their_data(self):
        selector = Web3.keccak(text="Detailed(address,uint256,string)")[:4]
        words = w3.codec.encode(["address", "uint256", "string"], [BUYER, 5, "seventeen planks"])
        for kind, attempt in self.attempts(self.reverts.functions.withDetailedError(5)):
            with self.subTest(kind=kind), self.assertRaises(ContractCustomError) as caught:
                attempt()
            self.assertEqual(caught.exception.data, Web3.to_hex(selector + words))

    def test_panics_are_named(self):
        cases = [
            (self.panics.functions.assertion(False), "0x01"),
            (self.panics.functions.subtract(1, 2), "0x11"),
            (self.panics.functions.divide(1, 0), "0x12"),
            (self.panics.functions.plankAt(0), "0x32"),
        ]
        for function, code in cases:
            for kind, attempt in self.attempts(function):
                with self.subTest(code=code, kind=kind), self.assertRaises(ContractPanicError) as caught:
                    attempt()
                self.assertIn(f"Panic error {code}", str(caught.exception))

    def test_a_mined_failure_has_status_0(self):
        tx_hash = self.reverts.functions.withReason().transact({"from": BUYER, "gas": 100_000})
        self.assertEqual(receipt_of(tx_hash)["status"], 0)


class Subscriptions(unittest.IsolatedAsyncioTestCase):
    async def test_new_heads_logs_and_pending_transactions_arrive(self):
        events = deploy("Events")
        async with AsyncWeb3(WebSocketProvider(WS_URL)) as socket:
            kinds = {
                await socket.eth.subscribe("newHeads"): "head",
                await socket.eth.subscribe("logs", {"address": events.address}): "log",
                await socket.eth.subscribe("newPendingTransactions"): "pending",
            }
            tx_hash = await asyncio.to_thread(events.functions.withIndexes(3, True, 4).transact, {"from": SELLER})
            came = {}

            async def listen():
                async for message in socket.socket.process_subscriptions():
                    came.setdefault(kinds[message["subscription"]], message["result"])
                    if len(came) == len(kinds):
                        return

            await asyncio.wait_for(listen(), WAIT_SECONDS_MAX)
            receipt = await asyncio.to_thread(receipt_of, tx_hash)
            self.assertEqual(came["head"]["hash"], receipt["blockHash"])
            self.assertEqual(came["log"]["transactionHash"], tx_hash)
            self.assertEqual(came["pending"], tx_hash)
            for subscription in kinds:
                self.assertTrue(await socket.eth.unsubscribe(subscription))


if __name__ == "__main__":
    unittest.main(verbosity=2)
