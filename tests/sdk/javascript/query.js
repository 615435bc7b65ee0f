'use strict';
const test = require('node:test');
const assert = require('node:assert/strict');
const { AV, master, unique, refusal } = require('./support');

// Ten players: n from 0 to 9.
async function players() {
  const kind = unique('Player');
  const objects = Array.from({ length: 10 }, (_, n) => {
    const player = new AV.Object(kind, {
      n,
      name: `player ${n}`,
      even: n % 2 === 0,
      tags: n % 3 === 0 ? ['all', 'third'] : ['all'],
      at: new Date(Date.UTC(2026, 0, n + 1)),
    });
    if (n > 7) player.set('late', true);
    return player;
  });
  await AV.Object.saveAll(objects);
  const found = async (query) => (await query.ascending('n').find()).map((player) => player.get('n'));
  return { kind, found, query: () => new AV.Query(kind) };
}

// compat: where.equality where.comparison where.in where.exists where.arrays where.regex where.or_and where.missing
test('query: conditions', async () => {
  const { found, query } = await players();
  const cases = [
    [query().equalTo('n', 3), [3]],
    [query().notEqualTo('even', true), [1, 3, 5, 7, 9]],
    [query().greaterThan('n', 6).lessThanOrEqualTo('n', 8), [7, 8]],
    [query().lessThan('at', new Date('2026-01-03T00:00:00Z')), [0, 1]],
    [query().greaterThanOrEqualTo('createdAt', new Date(0)).lessThan('n', 1), [0]],
    [query().containedIn('n', [1, 2, 30]), [1, 2]],
    [query().notContainedIn('n', [0, 1, 2, 3, 4, 5]), [6, 7, 8, 9]],
    [query().exists('late'), [8, 9]],
    [query().doesNotExist('late').greaterThan('n', 6), [7]],
    [query().notEqualTo('late', true).greaterThan('n', 6), [7]],
    [query().equalTo('tags', 'third'), [0, 3, 6, 9]],
    [query().containsAll('tags', ['third', 'all']), [0, 3, 6, 9]],
    [query().sizeEqualTo('tags', 1).lessThan('n', 3), [1, 2]],
    [query().startsWith('name', 'player').lessThan('n', 2), [0, 1]],
    [query().contains('name', 'yer 4'), [4]],
    [query().endsWith('name', ' 5'), [5]],
    [query().contains('name', '.'), []],
    [query().matches('name', /^PLAYER [12]$/i), [1, 2]],
    [query().matches('name', /^player (?![0-8])/), [9]],
    [AV.Query.or(query().lessThan('n', 1), query().greaterThan('n', 8)), [0, 9]],
    [AV.Query.and(query().greaterThan('n', 3), query().lessThan('n', 5)), [4]],
  ];
  for (const [each, expected] of cases) {
    assert.deepEqual(await found(each), expected, JSON.stringify(each._where));
  }
});

// compat: query.order query.limit query.skip query.count query.keys
test('query: order, pages, counts and parts', async () => {
  const { kind, query } = await players();
  const page = await query().descending('n').skip(2).limit(3).find();
  assert.deepEqual(page.map((player) => player.get('n')), [7, 6, 5]);
  const twice = await query().ascending('even').addDescending('n').limit(2).find();
  assert.deepEqual(twice.map((player) => player.get('n')), [9, 7]);
  assert.equal(await query().greaterThan('n', 4).count(), 5);
  const [rows, count] = await query().limit(2).findAndCount();
  assert.deepEqual([rows.length, count], [2, 10]);
  const first = await query().descending('n').first();
  assert.equal(first.get('n'), 9);
  assert.equal(await query().equalTo('n', 99).first(), undefined);
  const part = await query().select('n', 'name').first();
  assert.deepEqual([typeof part.get('n'), part.get('tags')], ['number', undefined]);
  assert.equal((await refusal(new AV.Query(kind).get('123'))).code, 101);
});

// compat: query.include where.in_query where.select
test('query: over pointers', async () => {
  const [team, member] = [unique('Team'), unique('Member')];
  const [red, blue] = await AV.Object.saveAll([
    new AV.Object(team, { name: 'red', city: 'Xian' }),
    new AV.Object(team, { name: 'blue', city: 'Wuhan' }),
  ]);
  await AV.Object.saveAll([
    new AV.Object(member, { n: 1, team: red, home: 'Xian' }),
    new AV.Object(member, { n: 2, team: blue, home: 'Harbin' }),
    new AV.Object(member, { n: 3, teams: [red, blue], home: 'Wuhan' }),
  ]);
  const found = async (query) => (await query.ascending('n').find()).map((each) => each.get('n'));
  const query = () => new AV.Query(member);
  const inner = new AV.Query(team).equalTo('name', 'red');
  assert.deepEqual(await found(query().equalTo('team', red)), [1]);
  assert.deepEqual(await found(query().equalTo('teams', blue)), [3]);
  assert.deepEqual(await found(query().matchesQuery('team', inner)), [1]);
  assert.deepEqual(await found(query().doesNotMatchQuery('team', inner)), [2, 3]);
  assert.deepEqual(await found(query().matchesKeyInQuery('home', 'city', new AV.Query(team))), [1, 3]);
  assert.deepEqual(await found(query().doesNotMatchKeyInQuery('home', 'city', new AV.Query(team))), [2]);
  const withTeams = await query().include('team', 'teams').ascending('n').find();
  assert.equal(withTeams[0].get('team').get('name'), 'red');
  assert.deepEqual(withTeams[2].get('teams').map((each) => each.get('name')), ['red', 'blue']);
});

// compat: geo.near geo.distance geo.box
test('query: near', async () => {
  const kind = unique('Place');
  const places = { beijing: [39.9, 116.4], tianjin: [39.1, 117.2], shanghai: [31.2, 121.5], paris: [48.9, 2.4] };
  await AV.Object.saveAll(
    Object.entries(places).map(([name, at]) => new AV.Object(kind, { name, at: new AV.GeoPoint(...at) })),
  );
  const here = new AV.GeoPoint(39.1, 117.2);
  const names = async (query) => (await query.find()).map((place) => place.get('name'));
  const query = () => new AV.Query(kind);
  assert.deepEqual(await names(query().near('at', here)), ['tianjin', 'beijing', 'shanghai', 'paris']);
  assert.deepEqual(await names(query().near('at', here).limit(1).skip(1)), ['beijing']);
  assert.deepEqual(await names(query().near('at', here).descending('name')), ['tianjin', 'shanghai', 'paris', 'beijing']);
  assert.deepEqual(await names(query().withinKilometers('at', here, 200)), ['tianjin', 'beijing']);
  assert.deepEqual(await names(query().withinMiles('at', here, 10)), ['tianjin']);
  assert.deepEqual(await names(query().withinRadians('at', here, 0.2)), ['tianjin', 'beijing', 'shanghai']);
  const box = query().withinGeoBox('at', new AV.GeoPoint(30, 110), new AV.GeoPoint(39.5, 125));
  assert.deepEqual((await names(box)).sort(), ['shanghai', 'tianjin']);
});

// compat: query.long batch.query
test('query: a condition that is too long for an address', async () => {
  const { found, query } = await players();
  const long = Array.from({ length: 500 }, (_, n) => n * 3);
  assert.deepEqual(await found(query().containedIn('n', long)), [0, 3, 6, 9]);
});

// compat: scan scan.cursor
test('query: a scan shows every object once', async () => {
  const { query } = await players();
  const seen = [];
  const scan = query().lessThan('n', 7).scan({ batchSize: 3 }, master);
  for (;;) {
    const { value, done } = await scan.next();
    if (done) break;
    seen.push(value.get('n'));
  }
  assert.deepEqual(seen.sort(), [0, 1, 2, 3, 4, 5, 6]);
  const refused = await refusal(query().scan({}, {}).next());
  assert.equal(refused.code, 1);
});

// compat: acl.returned
test('query: ACLs are shown to who asks', async () => {
  const kind = unique('Note');
  const acl = new AV.ACL();
  acl.setPublicReadAccess(true);
  const note = new AV.Object(kind, { n: 1 });
  note.setACL(acl);
  await note.save();
  const shown = await new AV.Query(kind).includeACL(true).equalTo('objectId', note.id).first();
  assert.equal(shown.getACL().getPublicReadAccess(), true);
  assert.equal(shown.getACL().getPublicWriteAccess(), false);
  const silent = await new AV.Query(kind).first();
  assert.equal(silent.getACL(), undefined);
});

// compat: cql
test('query: CQL', async () => {
  const { kind } = await players();
  const asked = (cql, values) => AV.Query.doCloudQuery(cql, values);
  const { results, className } = await asked(`select * from ${kind} where n > ? order by -n limit 2`, [3]);
  assert.deepEqual([results.map((player) => player.get('n')), className], [[9, 8], kind]);
  assert.equal((await asked(`select count(*) from ${kind} where even = true`)).count, 5);
  assert.equal((await refusal(asked(`select * ${kind}`))).code, 300);
});
