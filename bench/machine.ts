import { cpus, totalmem } from 'node:os';
import { VERSION } from '../src/version.js';

/** Where and with what a figure was measured; printed above every table and kept in its JSON. */
export interface Machine {
  readonly date: string;
  readonly trunkline: string;
  readonly node: string;
  readonly platform: string;
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGb: number;
}

export function machine(): Machine {
  const list = cpus();
  return {
    date: new Date().toISOString().slice(0, 10),
    trunkline: VERSION,
    node: process.version,
    platform: `${process.platform}-${process.arch}`,
    cpu: list[0]?.model.trim() ?? 'unknown',
    cores: list.length,
    memoryGb: Math.round(totalmem() / 2 ** 30),
  };
}

export function machineLine(at: Machine): string {
  return `${at.cpu}, ${at.cores} cores, ${at.memoryGb} GB, ${at.platform}, Node ${at.node}, trunkline ${at.trunkline}, ${at.date}`;
}
