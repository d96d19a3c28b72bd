import { describe, expect, it } from 'vitest';
import { Lobby, type LobbyRoom } from '../../../src/http/transport/uws/lobby.js';

class Hall implements LobbyRoom {
  connections = 0;
  hasSockets = false;
  cleared = 0;

  clear(): void {
    this.connections = 0;
    this.cleared += 1;
  }
}

/** A lobby of two seats a room, and where new connections come. */
function setUp() {
  const rooms: Hall[] = [];
  let at: Hall | undefined;
  let canMake = true;
  const lobby = new Lobby<Hall>(
    2,
    () => {
      if (!canMake) return undefined;
      const room = new Hall();
      rooms.push(room);
      return room;
    },
    (room) => {
      at = room;
    },
  );
  const enter = (room = at as Hall) => {
    room.connections += 1;
    lobby.entered(room);
  };
  return { rooms, lobby, enter, at: () => at, cannotMake: () => (canMake = false) };
}

/** Two turns of the event loop, and one for the test. */
async function turns(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
}

describe('a lobby', () => {
  it('has the oldest make room for the newest, room by room', () => {
    const { rooms, lobby, enter, at } = setUp();
    lobby.open();
    const [one, other] = [at(), rooms.find((room) => room !== at())] as [Hall, Hall];
    for (let i = 0; i < 3; i++) enter();
    expect([one.connections, other.connections]).toEqual([2, 1]);
    expect(at()).toBe(other);
    enter();
    expect([one.connections, other.connections]).toEqual([0, 2]);
    expect(at()).toBe(one);
    expect(rooms).toHaveLength(2);
    lobby.close();
    expect(at()).toBeUndefined();
  });

  it('clears a room that a crowd came to in one turn, once those could ask who wanted to', async () => {
    const { lobby, enter, at } = setUp();
    lobby.open();
    const room = at() as Hall;
    for (let i = 0; i < 50; i++) enter(room);
    expect(room.connections).toBe(50);
    await turns();
    expect(room.connections).toBe(0);
  });

  it('leaves a room alone in which a call began', async () => {
    const { rooms, lobby, enter, at } = setUp();
    lobby.open();
    const room = at() as Hall;
    room.hasSockets = true;
    const before = room.cleared;
    for (let i = 0; i < 50; i++) enter(room);
    await turns();
    for (let i = 0; i < 20; i++) enter();
    expect(room.cleared).toBe(before);
    expect(rooms).toHaveLength(3);
  });

  it('leaves a room alone that is none of its own: the usual one, behind a renewed certificate', async () => {
    const { lobby, enter } = setUp();
    const usual = new Hall();
    usual.connections = 50;
    lobby.open();
    enter(usual);
    await turns();
    expect(usual.cleared).toBe(0);
  });

  it('goes on with the room it has where it can make no other', () => {
    const { lobby, enter, at, cannotMake } = setUp();
    lobby.open();
    cannotMake();
    const rooms = new Set<Hall | undefined>();
    for (let i = 0; i < 9; i++) {
      (at() as Hall).hasSockets = true;
      enter();
      rooms.add(at());
    }
    expect(at()).toBeDefined();
    expect(rooms.size).toBe(2);
  });

  it('has new rooms for a renewed certificate', () => {
    const { rooms, lobby, at } = setUp();
    lobby.renew();
    expect(at()).toBeUndefined();
    lobby.open();
    const before = [...rooms];
    lobby.renew();
    expect(before).not.toContain(at());
  });
});
