// Devices: what the list says, a shadow that is followed and edited, and a device that is cut off while somebody watches.

import assert from "node:assert/strict";
import { join } from "node:path";
import { call, until } from "./parts.mjs";

export const stories = {
  "a device's certificates, its shadow live, and its openings": {
    async story({ world, told, window, shots }) {
      const { page, to } = await window();
      await to("devices");
      await page.getByRole("row", { name: /dock-1.*connected.*active/ }).waitFor();
      await page.getByRole("row", { name: /bridge.*service/ }).waitFor();
      const openings = page.getByRole("region", { name: "Openings, newest first" });
      await openings.getByRole("row", { name: new RegExp(told.order.slice(0, 12)) }).waitFor();
      await page.screenshot({ path: join(shots, "devices-desktop.png"), fullPage: true });
      await page.getByRole("link", { name: "dock-1" }).first().click();
      await page.getByRole("heading", { name: "Certificates" }).waitFor();
      await page.getByText(/Version/).first().waitFor();
      // Another shadow, so that the lock's bridge has nothing to do with it.
      await call(world.url, "device_updateShadow", "dock-1", "light", { state: { desired: { colour: "red" } } });
      await page.reload();
      await page.getByLabel("Which one").selectOption("light");
      await page.getByText('"colour": "red"').first().waitFor();
      await page.getByText("has not reported all that is desired").waitFor();
      await call(world.url, "device_updateShadow", "dock-1", "light", { state: { reported: { colour: "red" } } });
      await page.getByText("The device has what is desired").waitFor();
      // Editing minds the version: what somebody else wrote meanwhile is not overwritten.
      await page.getByRole("button", { name: "Edit what is desired" }).click();
      await page.locator("#section").fill('{"colour": "green"');
      await page.getByRole("button", { name: "Update" }).click();
      await page.getByText(/This is no JSON/).waitFor();
      await call(world.url, "device_updateShadow", "dock-1", "light", { state: { desired: { level: 3 } } });
      await page.getByText('"level": 3').first().waitFor();
      await page.locator("#section").fill('{"colour": "green"}');
      await page.getByRole("button", { name: "Update" }).click();
      await page.getByText("The shadow changed while you edited it").waitFor();
      await page.getByRole("button", { name: "Close" }).click();
      await page.getByRole("button", { name: "Edit what is desired" }).click();
      await page.locator("#section").fill('{"colour": "green"}');
      await page.getByRole("button", { name: "Update" }).click();
      await page.getByText("The shadow has a new version").waitFor();
      const { state } = await call(world.url, "device_getShadow", "dock-1", "light");
      assert.deepEqual(state.desired, { colour: "green" }, "what was taken out of the text is gone");
      await page.screenshot({ path: join(shots, "device-desktop.png"), fullPage: true });
    },
  },

  "a device is revoked in one window and cut off live in the other": {
    async story({ world, told, window }) {
      const dock = await world.deskDevice("dock-2", told.registry);
      const [list, one] = [await window(), await window()];
      await list.to("devices");
      await list.page.getByRole("row", { name: /dock-2.*connected.*active/ }).waitFor();
      await one.to("device/dock-2");
      await one.page.getByRole("button", { name: "Revoke …" }).click();
      await one.page.getByRole("button", { name: "Revoke for ever" }).click();
      await one.page.getByText("revoked", { exact: true }).waitFor();
      await list.page.getByRole("row", { name: /dock-2.*away.*revoked/ }).waitFor();
      await dock.line((text) => /no connection to the broker/.test(text), "word that the device is cut off");
      await until("the registry's word", async () => (await call(world.url, "device_get", "dock-2")).certificates.every(({ state }) => state === "revoked"));
      await dock.stop();
    },
  },

  "the cluster page says what is final, who mines, and that the node is alone": {
    async story({ window, shots }) {
      const { page, to } = await window();
      await to("cluster");
      await page.getByText(/nothing up to it is reorganised/).waitFor();
      await page.getByRole("cell", { name: "100 %" }).waitFor();
      await page.getByText(/No peers/).waitFor();
      await page.screenshot({ path: join(shots, "cluster-desktop.png"), fullPage: true });
    },
  },
};
