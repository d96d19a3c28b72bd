// A checkout's prepare script: compiles the addons with node-gyp. A checkout also runs on a machine without a compiler: a failed
// build only prints a notice, and audio runs on WebAssembly. Installing the package does not compile: it contains compiled
// addons (native/prebuild.mjs).
//
// --debug makes one for a debugger beside it, which TRANSCODER=native-debug loads.

import { compile } from './compile.mjs';

const started = Date.now();
const build = compile(undefined, [], {}, process.argv.includes('--debug'));
if (build.ok)
  console.log(`trunkline: native core compiled in ${((Date.now() - started) / 1000).toFixed(1)} s`);
else {
  const without = 'Audio will run on WebAssembly, and a call will cost about 1.4 times the CPU.';
  console.log(notice('core', build.output, without));
}
if (build.ok && !build.hasRtc) {
  console.log(notice('WebRTC leg', build.output, 'The lean leg to Stream is not available.'));
}

function notice(what, output, without) {
  // node-gyp surrounds the compiler's output with its own state and stack.
  const chatter =
    /^gyp info|^gyp ERR! (stack +at |System|command|cwd|node |node-gyp |not ok|build error|find Python)/;
  const lines = output.split('\n').filter((line) => line.trim() !== '' && !chatter.test(line));
  return `
trunkline: the native ${what} was not compiled: ${reason(output)}
  The installation continues. ${without} The last lines of the build:
${lines
  .slice(-12)
  .map((line) => `    ${line}`)
  .join('\n')}
  To compile it, install a C++17 compiler, make and Python 3, then run "npm run prepare":
    Debian, Ubuntu   apt-get install -y g++ make python3
    Alpine           apk add g++ make python3
    macOS            xcode-select --install
`;
}

function reason(output) {
  if (/Cannot find module 'node-gyp/.test(output)) return 'node-gyp is not installed.';
  if (/find any Python installation/i.test(output)) return 'Python 3 was not found.';
  if (/not found: make|spawn make ENOENT/.test(output)) return 'make was not found.';
  if (/(g\+\+|clang\+\+|c\+\+|cc): (command )?not found|(g\+\+|c\+\+): No such file/i.test(output)) {
    return 'no C++ compiler was found.';
  }
  if (/openssl\/\w+\.h: No such file|'openssl\/\w+\.h' file not found/.test(output)) {
    return 'the headers of Node have none of OpenSSL.';
  }
  if (/error: /.test(output)) return 'the compiler reported an error.';
  return 'node-gyp failed.';
}
