/**
 * S48: workloads leave their checksums and the cutting of what is longer than the MTU to their
 * devices, as they do by default. On the underlay every frame is whole, within the MTU, and has its
 * sums, outer and inner; what the programs sent arrives unchanged.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Capture, withCapture } from "../capture.ts";
import { type LabFixture, underWorkers } from "../lab-fixture.ts";
import { labOf } from "../topology.ts";
import { readTunnel, TUNNEL_FILTER } from "../tunnel.ts";

const LIMIT = { timeout: 60_000 };
const FAMILIES = [
  { vm1: "10.0.1.10", vm2: "10.0.1.11" },
  { vm1: "fd00:0:0:1::10", vm2: "fd00:0:0:1::11" },
] as const;
const WORKLOAD_MTU = 1418;
const UNDERLAY_MTU = 1500;
const ETHERNET_SIZE = 14;
const TCP_SIZE = 400_000;
/** Around what fits one packet (IPv4 and UDP take 28 bytes of it, IPv6 and UDP 48), and over it. */
const UDP_SIZES = [1370, 1371, 1390, 1391, 3000, 8000];
/** Of datagrams that are sent as one, by UDP_SEGMENT; the last is shorter. */
const SEGMENT = { size: 1200, count: 20 } as const;

/**
 * Sends many datagrams to the echo port in one call, and says whether they come back as they were.
 * Perl is part of every Debian; Node has no way to set UDP_SEGMENT.
 */
const SEND_SEGMENTS = `
  use Socket qw(:all);
  my ($to, $size, $total) = @ARGV;
  my $family = $to =~ /:/ ? AF_INET6 : AF_INET;
  my $address = inet_pton($family, $to);
  socket(my $socket, $family, SOCK_DGRAM, 0) or die "socket: $!";
  setsockopt($socket, 17, 103, pack("i", $size)) or die "UDP_SEGMENT: $!";
  connect($socket, $family == AF_INET
    ? pack_sockaddr_in(7, $address) : pack_sockaddr_in6(7, $address)) or die "connect: $!";
  my $sent = join "", map { chr(int(rand(256))) } 1 .. $total;
  send($socket, $sent, 0) == $total or die "send: $!";
  alarm 5;
  my $got = "";
  while (length $got < $total) {
    recv($socket, my $datagram, 65536, 0);
    $got .= $datagram;
  }
  print $got eq $sent ? "unchanged" : "changed";
`;

const lab = labOf({
  name: "s48",
  chassis: ["a", "b"],
  ports: (["vm1", "vm2"] as const).map((name, i) => ({
    ...{ name, switch: "s", chassis: ["a", "b"][i]! },
    addresses: FAMILIES.map((family) => family[name]),
  })),
});

/** TCP and UDP, each from both sides, and there and back. */
async function talk(fixture: LabFixture): Promise<void> {
  const [vm1, vm2] = await Promise.all([fixture.agent("vm1"), fixture.agent("vm2")]);
  for (const addresses of FAMILIES) {
    for (const [from, to] of [
      [vm1, addresses.vm2],
      [vm2, addresses.vm1],
    ] as const) {
      const tcp = await from.ask({ op: "tcp", to, size: TCP_SIZE });
      assert.ok(tcp.ok, `TCP to ${to}: ${tcp.detail}`);
      const udp = await from.ask({ op: "udp", to, sizes: UDP_SIZES });
      assert.ok(udp.ok, `UDP to ${to}: ${udp.detail}`);
    }
    const total = SEGMENT.size * (SEGMENT.count - 1) + 100;
    const argv = ["-e", SEND_SEGMENTS, addresses.vm2, String(SEGMENT.size), String(total)];
    const { stdout, stderr } = await fixture.run("vm1", "perl", ...argv);
    assert.equal(stdout, "unchanged", stderr);
  }
}

async function checkUnderlay(capture: Capture): Promise<void> {
  const packets = await readTunnel(capture); // No sum is wrong.
  assert.ok(packets.length > (4 * 2 * TCP_SIZE) / WORKLOAD_MTU, `${packets.length} packets`);
  const unproven = ["ip", "udp", "tcp"].map((protocol) => `${protocol}.checksum.status > 1`);
  assert.deepEqual(await capture.rows(["frame.number"], unproven.join(" || ")), [], "none is left");
  const tooLong = `frame.len > ${UNDERLAY_MTU + ETHERNET_SIZE}`;
  assert.deepEqual(await capture.rows(["frame.number", "frame.len"], tooLong), []);
  const full = await capture.rows(["frame.number"], `ip.len == ${UNDERLAY_MTU}`);
  assert.ok(full.length > 0, "the MTU is used to its last byte");
}

/** The workload's own kernel has left the work to its device. */
async function checkWorkload(capture: Capture): Promise<void> {
  const longOf = (protocol: string): Promise<string[][]> =>
    capture.rows(["frame.len"], `${protocol} && frame.len > ${WORKLOAD_MTU + ETHERNET_SIZE}`);
  assert.ok((await longOf("tcp")).length > 0, "TCP leaves in super-frames");
  assert.equal((await longOf("udp")).length, FAMILIES.length, "and so does UDP");
}

underWorkers("s48", [1, 2, 4], { lab }, (fixture) => {
  test("S48: what is offloaded arrives, and is whole on the underlay", LIMIT, async () => {
    const { namespaceOf } = fixture.running;
    const underlay = { namespace: namespaceOf("underlay"), device: "bridge" };
    const vm1 = { namespace: namespaceOf("vm1"), device: "eth0", snapLength: 128 };
    const sentByVm1 = FAMILIES.map((family) => `src ${family.vm1}`).join(" or ");
    const traffic = (): Promise<void> =>
      withCapture({ ...vm1, filter: sentByVm1 }, () => talk(fixture), checkWorkload);
    await withCapture({ ...underlay, filter: TUNNEL_FILTER }, traffic, checkUnderlay);
  });
});
