#!/usr/bin/env node
import { runCommandLine } from './command-line.js';

process.exitCode = await runCommandLine(process.argv.slice(2));
// A worker that is done, or cannot serve, does not stay for its supervisor.
process.channel?.unref();
