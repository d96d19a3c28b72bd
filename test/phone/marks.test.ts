import { describe, expect, test } from 'vitest';
import { Marks } from '../../src/phone/marks.js';

describe('the marks', () => {
  test('report the audio position at which they were reached', () => {
    const marks = new Marks();
    marks.place('one', 100);
    marks.place('two', 300);
    expect(marks.reached('one', 95)).toEqual({ name: 'one', playedMs: 100, cleared: false });
    expect(marks.reached('two', 320)).toEqual({ name: 'two', playedMs: 300, cleared: false });
  });

  test('are reached once, and only if they were placed', () => {
    const marks = new Marks();
    marks.place('one', 0);
    expect(marks.reached('other', 0)).toBeUndefined();
    expect(marks.reached('one', 0)).toBeDefined();
    expect(marks.reached('one', 0)).toBeUndefined();
  });

  test('of the same name are reached in the order they were placed', () => {
    const marks = new Marks();
    marks.place('word', 20);
    marks.place('word', 40);
    expect(marks.reached('word', 50)?.playedMs).toBe(20);
    expect(marks.reached('word', 50)?.playedMs).toBe(40);
  });

  test('that are echoed after a clear were not reached by playing', () => {
    const marks = new Marks();
    marks.place('early', 100);
    marks.place('late', 500);
    marks.clear();
    marks.place('new', 240);
    expect(marks.reached('early', 240)).toEqual({ name: 'early', playedMs: 100, cleared: true });
    expect(marks.reached('late', 240)).toEqual({ name: 'late', playedMs: 240, cleared: true });
    expect(marks.reached('new', 250)).toEqual({ name: 'new', playedMs: 240, cleared: false });
  });

  test('of the same name before and after a clear are told apart', () => {
    const marks = new Marks();
    marks.place('word', 100);
    marks.clear();
    marks.place('word', 200);
    expect(marks.reached('word', 50)?.cleared).toBe(true);
    expect(marks.reached('word', 200)?.cleared).toBe(false);
  });

  test('are counted while in flight', () => {
    const marks = new Marks();
    for (let i = 0; i < 3; i++) marks.place(`${i}`, i);
    expect(marks.count).toBe(3);
    marks.reached('1', 1);
    expect(marks.count).toBe(2);
  });

  test('are forgotten when closed', () => {
    const marks = new Marks();
    marks.place('one', 0);
    marks.close();
    expect(marks.reached('one', 0)).toBeUndefined();
  });
});
