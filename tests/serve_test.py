"""slim-zoo serve as its users meet it: the command, its page in a browser, its end."""

import base64
import json
import re
import signal
import urllib.request

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

import slim_zoo
from slim_zoo.serving import listening
from tests import browser, scripts, served
from tests.stored_images import encoded, picture


def start(folder, **flags):
  """Starts the command; returns it with the address that it prints."""
  run = scripts.Started(folder, scripts.command('serve', port=0, **flags))
  assert run.wait_for('Ctrl-C ends it'), run.stderr
  return run, re.search(r'http://127\.0\.0\.1:[0-9]+/', run.stdout)[0]


@pytest.fixture(scope='module')
def running(trained_dir, tmp_path_factory):
  """Returns the address of a server of LeNet, which ends by SIGTERM."""
  run, url = start(tmp_path_factory.mktemp('serve'), checkpoint_path=trained_dir,
                   top_k=3)
  yield url
  run.signal(signal.SIGTERM)
  done = run.wait(10)
  assert done.returncode == 143
  assert done.stderr.endswith('slim-zoo serve: stopped by SIGTERM\n')
  assert 'Traceback' not in done.stderr


@pytest.fixture(scope='module')
def page(running, tmp_path_factory):
  """Returns a browser with the page of the server."""
  with browser.opened(tmp_path_factory.mktemp('browser')) as driver:
    driver.get(running)
    WebDriverWait(driver, 30).until(lambda _: driver.find_element(
        By.ID, 'model').text)
    yield driver
    check_log(driver)


def check_log(driver):
  """Checks that the browser reports no fault, such as of the policy of the page."""
  assert [entry for entry in driver.get_log('browser')
          if '400 (Bad Request)' not in entry['message']] == []


@pytest.fixture(scope='module')
def photo(tmp_path_factory):
  path = tmp_path_factory.mktemp('photo') / 'my <b>photo<br>.png'
  path.write_bytes(encoded(picture(3, 40, 50)))
  return path


def shown(driver, id):
  """Waits until an element is visible and returns it."""
  element = driver.find_element(By.ID, id)
  WebDriverWait(driver, 30).until(lambda _: element.is_displayed())
  return element


def check_answer(driver, photo, trained_dir):
  """Checks that the page shows the classes of slim-zoo classify, and Grad-CAM."""
  answer = shown(driver, 'answer')
  (wanted,) = slim_zoo.classify(photo, checkpoint_path=trained_dir, top_k=3)
  rows = answer.find_elements(By.CSS_SELECTOR, 'tbody tr')
  assert [row.find_element(By.TAG_NAME, 'td').text for row in rows] == [
      one.name for one in wanted.classes]
  for row, one in zip(rows, wanted.classes, strict=True):
    bar = row.find_element(By.TAG_NAME, 'progress')
    assert float(bar.get_attribute('value')) == pytest.approx(one.probability, abs=1e-4)
    assert bar.size['width'] > 100
  pictures = answer.find_elements(By.TAG_NAME, 'img')
  WebDriverWait(driver, 30).until(lambda _: all(
      driver.execute_script('return arguments[0].naturalWidth >= 256', image)
      for image in pictures))
  captions = answer.find_elements(By.TAG_NAME, 'figcaption')
  assert [caption.text for caption in captions] == [
      "the network's input",
      f'Grad-CAM: regions that raise the score of {wanted.classes[0].name}']


def test_a_chosen_photo_gets_classes_and_grad_cam(page, photo, trained_dir):
  assert shown(page, 'requests').text == 'The same from a program'
  assert '10 classes, from ' in page.find_element(By.ID, 'model').text
  page.find_element(By.ID, 'file').send_keys(str(photo))
  check_answer(page, photo, trained_dir)
  # The name of the file is text, whatever is in it.
  assert page.find_element(By.ID, 'name').text == photo.name


def test_a_dropped_photo_gets_classes_and_grad_cam(page, photo, trained_dir):
  page.refresh()
  assert not page.find_element(By.ID, 'answer').is_displayed()
  page.execute_script('''
      const bytes = Uint8Array.from(atob(arguments[0]), letter => letter.charCodeAt(0));
      const dataTransfer = new DataTransfer();
      dataTransfer.items.add(new File([bytes], 'dropped.png'));
      for (const kind of ['dragover', 'drop']) {
        document.getElementById('drop').dispatchEvent(new DragEvent(
            kind, {dataTransfer, bubbles: true, cancelable: true}));
      }''', base64.b64encode(photo.read_bytes()).decode())
  check_answer(page, photo, trained_dir)
  assert page.find_element(By.ID, 'name').text == 'dropped.png'


def test_an_error_is_shown_in_words(page, tmp_path):
  path = tmp_path / 'notes.txt'
  path.write_text('No image today.')
  page.find_element(By.ID, 'file').send_keys(str(path))
  assert shown(page, 'error').text == 'notes.txt: it is text, not an image'
  assert not page.find_element(By.ID, 'answer').is_displayed()
  assert not page.find_element(By.ID, 'busy').is_displayed()
  large = tmp_path / 'large.png'
  large.write_bytes(bytes(21_000_000))
  page.find_element(By.ID, 'file').send_keys(str(large))
  WebDriverWait(page, 30).until(lambda _: page.find_element(
      By.ID, 'error').text == 'large.png has 21.0 MB, the limit is 20.0 MB')


def test_a_page_of_another_site_gets_nothing(page, running):
  check_log(page)
  page.get('about:blank')
  for path in ('model.json', 'classify'):
    found = page.execute_async_script('''
        const [address, path, done] = arguments;
        fetch(address + path, {method: path === 'classify' ? 'POST' : 'GET', body:
            path === 'classify' ? 'x' : undefined})
            .then(response => done('answered'), error => done('refused'));
        ''', running, path)
    assert found == 'refused'
  assert 'blocked by CORS policy' in page.get_log('browser')[0]['message']


def test_the_request_of_the_page_is_answered(running, trained_dir, photo):
  with urllib.request.urlopen(urllib.request.Request(
      f'{running}v1/models/default:predict', json.dumps(
          {'instances': [served.b64(photo.read_bytes())]}).encode())) as response:
    (answer,) = json.load(response)['predictions']
  (wanted,) = slim_zoo.classify(photo, checkpoint_path=trained_dir)
  assert (answer['classes'], answer['labels']) == (
      wanted.classes[0].label, wanted.classes[0].name)


def test_faults_are_answered_in_one_line_before_tensorflow_is_loaded(trained_dir):
  with listening.listen('127.0.0.1', 0) as listener:
    port = listener.getsockname()[1]
    scripts.answer(scripts.run('serve', checkpoint_path=trained_dir, port=port),
                   f'--port={port} of 127.0.0.1 is in use', code=1)
  scripts.answer(
      scripts.run('serve', checkpoint_path=trained_dir, host='no-such-host.invalid'),
      "--host='no-such-host.invalid' is not an address of this machine", code=1)


def test_ctrl_c_ends_it_while_a_client_is_slow(trained_dir, tmp_path):
  run, url = start(tmp_path, checkpoint_path=trained_dir, served_name='digits')
  host, port = re.search(r'//(.*):(\d+)/', url).groups()
  with served.socket.create_connection((host, int(port))) as connection:
    connection.sendall(b'POST /classify HTTP/1.1\r\nHost: localhost\r\n')
    with urllib.request.urlopen(f'{url}v1/models/digits') as response:
      assert response.status == 200
    run.signal(signal.SIGINT)
    done = run.wait(10)
  assert (done.returncode, done.stderr.splitlines()[-1]) == (
      130, 'slim-zoo serve: stopped by SIGINT')
  assert 'Traceback' not in done.stderr
