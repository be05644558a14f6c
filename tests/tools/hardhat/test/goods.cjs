// OpenZeppelin's ERC-20 with permits, and ERC-721.

const { expect } = require("chai");
const { ethers } = require("hardhat");
const { loadFixture, time } = require("@nomicfoundation/hardhat-network-helpers");

const supply = 1_000_000n;

describe("ERC-20", () => {
  async function shares() {
    const [owner, holder, spender] = await ethers.getSigners();
    const token = await ethers.deployContract("Shares", [supply]);
    await token.waitForDeployment();
    await (await token.transfer(holder, 1_000n)).wait();
    return { token, owner, holder, spender };
  }

  it("transfers move balances and tell so", async () => {
    const { token, owner, holder, spender } = await loadFixture(shares);
    const transfer = token.connect(holder).transfer(spender, 400n);
    await expect(transfer).to.emit(token, "Transfer").withArgs(holder.address, spender.address, 400n);
    await expect(transfer).to.changeTokenBalances(token, [holder, spender], [-400n, 400n]);
    expect(await token.balanceOf(owner)).to.equal(supply - 1_000n);
    expect(await token.totalSupply()).to.equal(supply);
  });

  it("what is not there cannot be sent or spent", async () => {
    const { token, holder, spender } = await loadFixture(shares);
    await expect(token.connect(holder).transfer(spender, 1_001n))
      .to.be.revertedWithCustomError(token, "ERC20InsufficientBalance").withArgs(holder.address, 1_000n, 1_001n);
    await expect(token.connect(spender).transferFrom(holder, spender, 1n))
      .to.be.revertedWithCustomError(token, "ERC20InsufficientAllowance").withArgs(spender.address, 0n, 1n);
    await expect(token.transfer(ethers.ZeroAddress, 1n)).to.be.revertedWithCustomError(token, "ERC20InvalidReceiver");
  });

  it("a permit that the node signs as typed data allows, once, until its deadline", async () => {
    const { token, holder, spender } = await loadFixture(shares);
    const { chainId } = await ethers.provider.getNetwork();
    const domain = { name: "Shares", version: "1", chainId, verifyingContract: token.target };
    const fields = ["owner address", "spender address", "value uint256", "nonce uint256", "deadline uint256"];
    const types = { Permit: fields.map((field) => field.split(" ")).map(([name, type]) => ({ name, type })) };
    const sign = async (deadline, nonce) => {
      const message = { owner: holder.address, spender: spender.address, value: 300n, nonce, deadline };
      const { v, r, s } = ethers.Signature.from(await holder.signTypedData(domain, types, message));
      return [holder, spender, 300n, deadline, v, r, s];
    };
    const deadline = (await time.latest()) + 3_600;
    const permit = await sign(deadline, 0n);
    await (await token.connect(spender).permit(...permit)).wait();
    expect(await token.allowance(holder, spender)).to.equal(300n);
    await expect(token.permit(...permit)).to.be.revertedWithCustomError(token, "ERC2612InvalidSigner");
    const late = await sign(deadline, 1n);
    await time.increaseTo(deadline + 1);
    await expect(token.permit(...late)).to.be.revertedWithCustomError(token, "ERC2612ExpiredSignature").withArgs(deadline);
    await expect(token.connect(spender).transferFrom(holder, spender, 300n)).to.changeTokenBalance(token, spender, 300n);
  });
});

describe("ERC-721", () => {
  async function keys() {
    const [owner, holder, operator] = await ethers.getSigners();
    const token = await ethers.deployContract("Keys");
    await token.waitForDeployment();
    for (const id of [1, 2, 3]) await (await token.mint(holder, id)).wait();
    return { token, owner, holder, operator };
  }

  it("items are counted, listed and moved", async () => {
    const { token, owner, holder } = await loadFixture(keys);
    await expect(token.connect(holder).transferFrom(holder, owner, 2))
      .to.emit(token, "Transfer").withArgs(holder.address, owner.address, 2n);
    expect(await token.totalSupply()).to.equal(3n);
    expect([await token.tokenOfOwnerByIndex(holder, 0), await token.tokenOfOwnerByIndex(holder, 1)]).to.deep.equal([1n, 3n]);
    expect(await token.ownerOf(2)).to.equal(owner.address);
  });

  it("operators act for holders, strangers do not", async () => {
    const { token, holder, operator } = await loadFixture(keys);
    const move = () => token.connect(operator).transferFrom(holder, operator, 1);
    await expect(move()).to.be.revertedWithCustomError(token, "ERC721InsufficientApproval").withArgs(operator.address, 1n);
    await (await token.connect(holder).setApprovalForAll(operator, true)).wait();
    await expect(move()).to.changeTokenBalance(token, operator, 1n);
  });

  it("a safe transfer asks the receiving contract", async () => {
    const { token, holder } = await loadFixture(keys);
    const cabinet = await ethers.deployContract("Cabinet");
    const wall = await ethers.deployContract("Wall");
    await Promise.all([cabinet.waitForDeployment(), wall.waitForDeployment()]);
    const send = (to) => token.connect(holder)["safeTransferFrom(address,address,uint256)"](holder, to, 3);
    await expect(send(wall)).to.be.revertedWithCustomError(token, "ERC721InvalidReceiver").withArgs(wall.target);
    await (await send(cabinet)).wait();
    expect(await token.ownerOf(3)).to.equal(cabinet.target);
  });
});
