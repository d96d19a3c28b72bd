import { pino } from 'pino';
import { expect, it, vi } from 'vitest';
import { OwnedRooms } from '../../src/workers/owned-rooms.js';
import { RoomOwners } from '../../src/workers/room-owners.js';
import { clock, eventually, sleep, virtualTime } from '../support/time.js';
import { workersInMemory } from '../support/workers.js';

virtualTime();

const log = pino({ level: 'silent' });

/** A supervisor's rooms, and two workers that share them. */
function machine(maxRooms?: number) {
  const { office, add, kill } = workersInMemory(clock);
  const owners = new RoomOwners(office, maxRooms);
  const worker = () => {
    const peers = add();
    return { peers, rooms: new OwnedRooms(peers, clock, log) };
  };
  const [a, b] = [worker(), worker()];
  return { owners, a, b, kill };
}

it('a room belongs to the worker that asks first, until everybody has left it there', async () => {
  const { owners, a, b } = machine();
  expect((await a.rooms.place('desk')).owner).toBe(1);
  expect((await a.rooms.place('desk')).owner).toBe(1);
  expect((await b.rooms.place('other')).owner).toBe(2);
  a.rooms.leave('desk');
  await sleep(10);
  expect([owners.size, a.rooms.size, b.rooms.size]).toEqual([2, 1, 1]);
  a.rooms.leave('desk');
  await eventually('the room is free', () => owners.size === 1);
  expect((await b.rooms.place('desk')).owner).toBe(2);
  await eventually('and forgotten', () => a.rooms.size === 0);
});

it('a room is not released while another worker sends a caller there', async () => {
  const { owners, a, b } = machine();
  await a.rooms.place('desk');
  // Its last tenant leaves just when another caller is on the way.
  const placement = await b.rooms.place('desk');
  expect(placement.owner).toBe(1);
  a.rooms.leave('desk');
  await sleep(1_000);
  expect(owners.size).toBe(1);
  await a.rooms.receive('desk', placement.generation);
  await sleep(20_000);
  expect((await b.rooms.place('desk')).owner).toBe(1);
  // This caller never arrives.
  a.rooms.leave('desk');
  await sleep(1_000);
  expect(owners.size).toBe(1);
  await eventually('the room is free', () => owners.size === 0 && a.rooms.size === 0, 10_000);
});

it('a release and a placement that cross each other leave one owner', async () => {
  const { owners, a, b } = machine();
  await a.rooms.place('desk');
  a.rooms.leave('desk');
  const [again, other] = await Promise.all([a.rooms.place('desk'), b.rooms.place('desk')]);
  expect(again.owner).toBe(other.owner);
  const [owner, stranger] = again.owner === 1 ? [a, b] : [b, a];
  await sleep(20_000);
  expect([owners.size, owner.rooms.size, stranger.rooms.size]).toEqual([1, 1, 0]);
  owner.rooms.leave('desk');
  await eventually('the room is free', () => owners.size === 0, 10_000);
});

it('the rooms of a worker that is gone are free, and one that refuses loses its room', async () => {
  const { owners, a, b, kill } = machine();
  await a.rooms.place('desk');
  await a.rooms.place('hall');
  const refused = await b.rooms.place('desk');
  const moved = await b.rooms.place('desk', refused);
  expect(moved.owner).toBe(2);
  expect((await a.rooms.place('desk', refused)).owner).toBe(2);
  // Its old owner has nothing to release any more.
  a.rooms.leave('desk');
  await eventually('forgotten', () => a.rooms.size === 1);
  expect(owners.size).toBe(2);
  kill(a.peers);
  expect(owners.size).toBe(1);
  await expect(a.rooms.place('hall')).rejects.toMatchObject({ code: 'GW_NODE_GONE' });
  expect((await b.rooms.place('hall')).owner).toBe(2);
});

it('names and number of rooms are bounded', async () => {
  const { owners, a, b } = machine(2);
  await expect(a.rooms.place('ü'.repeat(641))).rejects.toMatchObject({ code: 'GW_BAD_REQUEST' });
  await a.rooms.place('ü'.repeat(640));
  await a.rooms.place('two');
  await expect(b.rooms.place('three')).rejects.toMatchObject({ code: 'GW_FULL', status: 503 });
  expect((await b.rooms.place('two')).owner).toBe(1);
  expect(owners.size).toBe(2);
});

it('a room whose release failed is kept for a tenant who has arrived meanwhile', async () => {
  const { owners, a } = machine();
  await a.rooms.place('desk');
  let lose: (error: Error) => void = () => {};
  vi.spyOn(a.peers, 'request').mockReturnValueOnce(new Promise((_, reject) => (lose = reject)));
  a.rooms.leave('desk');
  await a.rooms.place('desk');
  lose(new Error('lost'));
  await sleep(20_000);
  expect([owners.size, a.rooms.size]).toEqual([1, 1]);
  a.rooms.leave('desk');
  await eventually('the room is free', () => owners.size === 0 && a.rooms.size === 0, 10_000);
});

it('a caller who arrives after the room was released joins it only where the room is now', async () => {
  const { owners, a, b } = machine();
  await b.rooms.place('desk');
  const { generation } = await a.rooms.place('desk');
  // A caller of its own comes and goes, so that the owner knows of a newer placement than the first.
  await b.rooms.place('desk');
  b.rooms.leave('desk');
  b.rooms.leave('desk');
  await eventually('the room is free', () => owners.size === 0 && b.rooms.size === 0);
  // Nobody has it: it is the same worker's again.
  await b.rooms.receive('desk', generation);
  expect((await a.rooms.place('desk')).owner).toBe(2);
  b.rooms.leave('desk');
  await eventually('the room is free', () => owners.size === 0 && b.rooms.size === 0, 10_000);
  // Another worker has it.
  await a.rooms.place('desk');
  await expect(b.rooms.receive('desk', generation)).rejects.toMatchObject({
    code: 'GW_NODE_GONE',
    status: 503,
  });
  expect([owners.size, a.rooms.size, b.rooms.size]).toEqual([1, 1, 0]);
});

it('a caller who arrives while the room is released keeps it, or does not join', async () => {
  const { owners, a, b } = machine();
  await b.rooms.place('desk');
  const { generation } = await a.rooms.place('desk');
  await b.rooms.place('desk');
  b.rooms.leave('desk');
  b.rooms.leave('desk');
  await b.rooms.receive('desk', generation);
  await sleep(20_000);
  expect([owners.size, b.rooms.size]).toEqual([1, 1]);
  expect((await a.rooms.place('desk')).owner).toBe(2);
});

it('a release that fails is tried again', async () => {
  const { owners, a } = machine();
  await a.rooms.place('desk');
  const request = vi.spyOn(a.peers, 'request').mockRejectedValueOnce(new Error('lost'));
  a.rooms.leave('desk');
  await sleep(1_000);
  expect([owners.size, a.rooms.size]).toEqual([1, 1]);
  await eventually('the room is free', () => owners.size === 0 && a.rooms.size === 0, 10_000);
  expect(request).toHaveBeenCalledTimes(2);
  // What waits is forgotten with its worker.
  await a.rooms.place('desk');
  a.rooms.close();
  expect(a.rooms.size).toBe(0);
});
