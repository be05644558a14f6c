// Uniswap v2 as its packages ship it, compiled by solc 0.5.16 and 0.6.6: factory, pair, router, wrapped ether.

const { expect } = require("chai");
const { ethers } = require("hardhat");
const { loadFixture, time } = require("@nomicfoundation/hardhat-network-helpers");

const factoryBuild = require("@uniswap/v2-core/build/UniswapV2Factory.json");
const pairBuild = require("@uniswap/v2-core/build/UniswapV2Pair.json");
const routerBuild = require("@uniswap/v2-periphery/build/UniswapV2Router02.json");
const wethBuild = require("@uniswap/v2-periphery/build/WETH9.json");

async function deploy({ abi, bytecode }, ...parameters) {
  const [signer] = await ethers.getSigners();
  const contract = await new ethers.ContractFactory(abi, bytecode, signer).deploy(...parameters);
  await contract.waitForDeployment();
  return contract;
}

// What a swap gives: 0.3 % of what comes in stays with the pool, and the product of the reserves does not fall.
function amountOut(amountIn, reserveIn, reserveOut) {
  const afterFee = amountIn * 997n;
  return (afterFee * reserveOut) / (reserveIn * 1000n + afterFee);
}

const liquidity = { a: ethers.parseEther("5"), b: ethers.parseEther("20") };

async function exchange() {
  const [owner, trader] = await ethers.getSigners();
  const weth = await deploy(wethBuild);
  const factory = await deploy(factoryBuild, owner.address);
  const router = await deploy(routerBuild, factory.target, weth.target);
  const a = await ethers.deployContract("Shares", [ethers.parseEther("1000")]);
  const b = await ethers.deployContract("Shares", [ethers.parseEther("1000")]);
  await Promise.all([a.waitForDeployment(), b.waitForDeployment()]);
  for (const token of [a, b]) {
    await (await token.approve(router, ethers.MaxUint256)).wait();
    await (await token.connect(trader).approve(router, ethers.MaxUint256)).wait();
    await (await token.transfer(trader, ethers.parseEther("100"))).wait();
  }
  const deadline = (await time.latest()) + 3_600;
  await (await router.addLiquidity(a, b, liquidity.a, liquidity.b, 0, 0, owner, deadline)).wait();
  await (await router.addLiquidityETH(a, liquidity.a, 0, 0, owner, deadline, { value: liquidity.b })).wait();
  const pair = new ethers.Contract(await factory.getPair(a, b), pairBuild.abi, owner);
  return { owner, trader, weth, factory, router, a, b, pair, deadline };
}

describe("an exchange", () => {
  it("pairs stand where create2 puts them", async () => {
    const { factory, pair, a, b, weth } = await loadFixture(exchange);
    const sorted = [a.target, b.target].sort((one, two) => (BigInt(one) < BigInt(two) ? -1 : 1));
    const salt = ethers.solidityPackedKeccak256(["address", "address"], sorted);
    const address = ethers.getCreate2Address(factory.target, salt, ethers.keccak256(`0x${pairBuild.bytecode.replace(/^0x/, "")}`));
    expect(pair.target).to.equal(address);
    expect(await factory.allPairsLength()).to.equal(2n);
    expect(await factory.getPair(weth, a)).to.not.equal(ethers.ZeroAddress);
    const [token0, token1] = [await pair.token0(), await pair.token1()];
    expect([token0, token1]).to.deep.equal(sorted);
  });

  it("a swap gives what the formula says, and moves the reserves", async () => {
    const { router, pair, trader, a, b, deadline } = await loadFixture(exchange);
    const amountIn = ethers.parseEther("1");
    const expected = amountOut(amountIn, liquidity.a, liquidity.b);
    expect((await router.getAmountsOut(amountIn, [a, b]))[1]).to.equal(expected);
    const swap = router.connect(trader).swapExactTokensForTokens(amountIn, 0, [a, b], trader, deadline);
    await expect(swap).to.emit(pair, "Swap");
    await expect(swap).to.changeTokenBalances(a, [trader, pair], [-amountIn, amountIn]);
    await expect(swap).to.changeTokenBalances(b, [trader, pair], [expected, -expected]);
    const [reserve0, reserve1] = await pair.getReserves();
    expect(new Set([reserve0, reserve1])).to.deep.equal(new Set([liquidity.a + amountIn, liquidity.b - expected]));
  });

  it("ether is swapped over two pools", async () => {
    const { router, weth, trader, a, b, deadline } = await loadFixture(exchange);
    const value = ethers.parseEther("0.5");
    const first = amountOut(value, liquidity.b, liquidity.a);
    const second = amountOut(first, liquidity.a, liquidity.b);
    const swap = router.connect(trader).swapExactETHForTokens(second, [weth, a, b], trader, deadline, { value });
    await expect(swap).to.changeTokenBalance(b, trader, second);
    await expect(swap).to.changeEtherBalance(trader, -value);
  });

  it("too little, too late and too much are refused with the router's reasons", async () => {
    const { router, trader, a, b, deadline } = await loadFixture(exchange);
    const swap = (least) => router.connect(trader).swapExactTokensForTokens(1_000n, least, [a, b], trader, deadline);
    await expect(swap(ethers.parseEther("1"))).to.be.revertedWith("UniswapV2Router: INSUFFICIENT_OUTPUT_AMOUNT");
    await time.increaseTo(deadline + 1);
    await expect(swap(0n)).to.be.revertedWith("UniswapV2Router: EXPIRED");
  });

  it("the price oracle counts seconds, and liquidity comes back", async () => {
    const { router, pair, owner, a, b } = await loadFixture(exchange);
    const [reserve0, reserve1, updated] = await pair.getReserves();
    const before = await pair.price0CumulativeLast();
    const moment = (await time.latest()) + 1_000;
    await time.setNextBlockTimestamp(moment);
    await (await pair.sync()).wait();
    const price = (reserve1 << 112n) / reserve0;
    expect((await pair.price0CumulativeLast()) - before).to.equal(price * (BigInt(moment) - updated));
    await (await pair.approve(router, ethers.MaxUint256)).wait();
    const share = await pair.balanceOf(owner);
    const deadline = (await time.latest()) + 60;
    await expect(router.removeLiquidity(a, b, share, 0, 0, owner, deadline)).to.emit(pair, "Burn");
    expect(await pair.balanceOf(owner)).to.equal(0n);
    expect(await pair.totalSupply()).to.equal(1_000n);
  });
});
